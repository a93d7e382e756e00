//! How sure a share is that was counted: the exact interval of Clopper and Pearson, Biometrika 26 (1934).
//!
//! Exact means that it errs on the wide side: whatever the true share is, at least so many intervals of a hundred hold it. It takes
//! what was counted to be drawn independently.

/// Of two sides, together; and of one.
const TWO_SIDED: f64 = 0.05;
const ONE_SIDED: f64 = 0.05;

/// Where the true share is, of `part` in `whole`: from, to. 95 of 100 such intervals hold it.
pub(super) fn both(part: u64, whole: u64) -> [f64; 2] {
    [lower(part, whole, TWO_SIDED / 2.0), upper_of(part, whole, TWO_SIDED / 2.0)]
}

/// What the true share does not exceed: 95 of 100 such bounds hold.
pub(super) fn upper(part: u64, whole: u64) -> f64 {
    upper_of(part, whole, ONE_SIDED)
}

fn lower(part: u64, whole: u64, alpha: f64) -> f64 {
    if part == 0 { 0.0 } else { 1.0 - upper_of(whole - part, whole, alpha) }
}

/// The share at which so few would be found with a probability of `alpha`.
fn upper_of(part: u64, whole: u64, alpha: f64) -> f64 {
    if part == whole {
        return 1.0;
    }
    let (mut low, mut high) = (part as f64 / whole as f64, 1.0);
    // Each step halves it: after these there is no number in between.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if at_most(part, whole, middle) > alpha { low = middle } else { high = middle }
    }
    high
}

/// The probability to find at most `part` of `whole` where the true share is `share`: a sum of binomial terms, from the largest
/// down to those that add nothing.
fn at_most(part: u64, whole: u64, share: f64) -> f64 {
    let (n, k) = (whole as f64, part as f64);
    let odds = share / (1.0 - share);
    let largest = ln_choose(n, k) + k * share.ln() + (n - k) * (-share).ln_1p();
    let (mut term, mut sum, mut at) = (1.0, 1.0, k);
    // `share` is above `part / whole`, so the terms fall towards zero.
    while at > 0.0 && term > f64::EPSILON * sum {
        term *= at / (n - at + 1.0) / odds;
        sum += term;
        at -= 1.0;
    }
    largest.exp() * sum
}

fn ln_choose(n: f64, k: f64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Stirling's series, and a plain sum where that is not exact to the last digits.
fn ln_factorial(n: f64) -> f64 {
    const ENOUGH: f64 = 20.0;
    let x = n.max(ENOUGH) + 1.0;
    let (inverse, square) = (1.0 / x, 1.0 / (x * x));
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1_260.0 - square / 1_680.0)));
    let mut ln = (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series;
    let mut at = n.max(ENOUGH);
    while at > n {
        ln -= at.ln();
        at -= 1.0;
    }
    ln
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, right: f64) {
        assert!((found - right).abs() < 1e-9, "{found}, not {right}");
    }

    #[test]
    fn none_and_all_have_bounds_in_closed_form() {
        for whole in [1, 2, 10, 1_000, 100_000] {
            let n = f64::from(u32::try_from(whole).unwrap());
            near(both(0, whole)[0], 0.0);
            near(both(0, whole)[1], 1.0 - 0.025_f64.powf(1.0 / n));
            near(both(whole, whole)[0], 0.025_f64.powf(1.0 / n));
            near(both(whole, whole)[1], 1.0);
            near(upper(0, whole), 1.0 - 0.05_f64.powf(1.0 / n));
        }
        // The rule of three.
        assert!((upper(0, 300) - 0.01).abs() < 1e-4);
    }

    /// Part, whole, from, to: by the sum that defines them, in 30 digits.
    const TABLE: [(u64, u64, f64, f64); 8] = [
        (1, 10, 0.002_528_578_544_46, 0.445_016_117_028),
        (5, 10, 0.187_086_028_447, 0.812_913_971_553),
        (1, 100, 0.000_253_146_032_977, 0.054_459_385_392_1),
        (144, 875, 0.140_594_043_049, 0.190_831_641_824),
        (157, 903, 0.149_687_949_441, 0.200_190_395_152),
        (731, 2200, 0.312_597_063_148, 0.352_396_139_956),
        (1691, 2200, 0.750_436_210_559, 0.786_118_143_304),
        (49_999, 100_000, 0.496_886_062_782, 0.503_093_937_798),
    ];

    #[test]
    fn bounds_are_those_of_tables() {
        for (part, whole, low, high) in TABLE {
            near(both(part, whole)[0], low);
            near(both(part, whole)[1], high);
        }
    }

    /// The definition: with the share at its bound, so few are found with a probability of `alpha`.
    #[test]
    fn a_bound_is_what_it_says() {
        for (part, whole) in [(1_u64, 7_u64), (3, 20), (17, 40), (39, 40)] {
            let share = upper(part, whole);
            let n = i32::try_from(whole).unwrap();
            let mut choose = 1.0;
            let mut probability = 0.0;
            for k in 0..=i32::try_from(part).unwrap() {
                probability += choose * share.powi(k) * (1.0 - share).powi(n - k);
                choose *= f64::from(n - k) / f64::from(k + 1);
            }
            near(probability, 0.05);
        }
    }
}
