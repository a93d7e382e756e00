//! A shop whose prices change: one write makes a product, the lists it is in and a search wrong. Run it with
//! `cargo run --example tags_and_invalidation`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use stampede_runtime::{cached, invalidate_pattern, invalidate_tags, invalidates};

#[derive(Clone, Debug)]
struct Product {
    id: u32,
    category: &'static str,
    cents: u32,
}

/// The tags of a list are those of what is in it: nobody who changes a product has to know the lists.
fn tags_of(products: &[Product]) -> Vec<String> {
    products.iter().map(|product| format!("product:{}", product.id)).collect()
}

#[cached(ttl = "1h", tags("product:{id}"))]
async fn product(id: u32) -> Option<Product> {
    database().get(&id).cloned()
}

#[cached(ttl = "1h", key = "category:{category}", tags(|products| tags_of(products)))]
async fn category(category: &str) -> Vec<Product> {
    database().values().filter(|product| product.category == category).cloned().collect()
}

#[cached(ttl = "1h", key = "below:{cents}", tags(|products| tags_of(products)))]
async fn below(cents: u32) -> Vec<Product> {
    database().values().filter(|product| product.cents < cents).cloned().collect()
}

/// As most code has it: whoever writes takes out the one key that it knows.
fn set_price_and_forget_the_key(id: u32, cents: u32) {
    write(id, cents);
    product::invalidate(id);
}

/// One attribute. A list that the product *enters* has no tag of it yet: those are taken out by their readable keys.
#[invalidates(tags("product:{id}"), patterns("below:*"))]
async fn set_price(id: u32, cents: u32) -> Result<(), std::io::Error> {
    write(id, cents);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("300 products in 3 categories. One price changes; then everything is read.\n");
    for (id, category) in (0..300).zip(["books", "tea", "shoes"].into_iter().cycle()) {
        database().insert(id, Product { id, category, cents: 1_000 + id });
    }
    fill().await;
    set_price_and_forget_the_key(7, 1);
    println!("one key taken out:  {} answers are wrong", wrong().await);

    fill().await;
    set_price(7, 2).await?;
    println!("tags and patterns:  {} answers are wrong", wrong().await);

    let executions = product::stats().executions + category::stats().executions + below::stats().executions;
    set_price(8, 3).await?;
    fill().await;
    let again = product::stats().executions + category::stats().executions + below::stats().executions - executions;
    println!("\nafter another write {again} of 313 answers are made anew");

    println!("everything of books: {} taken out", invalidate_pattern("category:boo?s").removed());
    println!("a tag that nothing has: {} taken out", invalidate_tags(["product:1000"]).removed());
    Ok(())
}

/// Reads everything.
async fn fill() {
    for id in 0..300 {
        product(id).await;
    }
    for name in ["books", "tea", "shoes"] {
        category(name).await;
    }
    for limit in 1..=10 {
        below(1_000 + limit * 20).await;
    }
}

/// Reads everything, and counts what is not what the database says.
async fn wrong() -> usize {
    let mut wrong = 0;
    for id in 0..300 {
        let now = database().get(&id).map(|product| product.cents);
        wrong += usize::from(product(id).await.map(|product| product.cents) != now);
    }
    let cents = |products: Vec<Product>| products.iter().map(|product| product.cents).collect::<Vec<_>>();
    for name in ["books", "tea", "shoes"] {
        let all = database().clone();
        let now = all.into_values().filter(|product| product.category == name).collect();
        wrong += usize::from(cents(category(name).await) != cents(now));
    }
    for limit in (1..=10).map(|limit| 1_000 + limit * 20) {
        let all = database().clone();
        let now = all.into_values().filter(|product| product.cents < limit).collect();
        wrong += usize::from(cents(below(limit).await) != cents(now));
    }
    wrong
}

fn write(id: u32, cents: u32) {
    if let Some(product) = database().get_mut(&id) {
        product.cents = cents;
    }
}

fn database() -> std::sync::MutexGuard<'static, BTreeMap<u32, Product>> {
    static DATABASE: Mutex<BTreeMap<u32, Product>> = Mutex::new(BTreeMap::new());
    DATABASE.lock().unwrap_or_else(PoisonError::into_inner)
}
