/// A quote, with every word of the policy.
#[allow(clippy::manual_async_fn, refining_impl_trait)]
pub fn quote(
    symbol: &str,
) -> impl ::core::future::Future<
    Output = Result<Option<Quote>, Error>,
> + ::core::marker::Send {
    async move {
        #[allow(
            clippy::redundant_closure,
            clippy::redundant_closure_for_method_calls,
            clippy::used_underscore_binding
        )]
        let boarding = match {
            use ::stampede_runtime::__private::parts::*;
            quote::__site()
                .board(
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::fed_part!(symbol),
                        ::stampede_runtime::__private::Nil,
                    ),
                )
        } {
            ::core::result::Result::Ok(kept) => return kept,
            ::core::result::Result::Err(boarding) => boarding,
        };
        boarding
            .fly(move || {
                let symbol = ::stampede_runtime::__private::own!(symbol);
                async move {
                    let symbol: &str = ::stampede_runtime::__private::Borrow::borrow(
                        &symbol,
                    );
                    #[allow(unreachable_code)]
                    if false {
                        let anchor: Result<Option<Quote>, Error> = loop {};
                        return anchor;
                    }
                    #[allow(clippy::diverging_sub_expression, unused_braces)]
                    let output: Result<Option<Quote>, Error> = { fetch(symbol).await };
                    #[allow(unreachable_code)] return output;
                }
            })
            .await
    }
}
/// What can be done about the calls of `quote`.
#[allow(
    non_camel_case_types,
    missing_copy_implementations,
    missing_debug_implementations
)]
pub struct quote {}
#[allow(
    dead_code,
    deprecated,
    elided_lifetimes_in_paths,
    single_use_lifetimes,
    unused_lifetimes,
    clippy::boxed_local,
    clippy::ref_option,
    clippy::ref_option_ref,
    clippy::redundant_closure,
    clippy::redundant_closure_for_method_calls,
    clippy::too_many_arguments,
    clippy::used_underscore_binding
)]
impl quote {
    fn __site() -> ::stampede_runtime::__private::Here<
        impl ::core::ops::Fn(
        ) -> ::stampede_runtime::__private::Options + ::core::marker::Copy + ::core::marker::Send + ::core::marker::Sync + 'static,
        impl ::stampede_runtime::__private::Share<Output = Result<Option<Quote>, Error>>,
    > {
        static __SITE: ::stampede_runtime::__private::Site = ::stampede_runtime::__private::Site::new(
            ::core::module_path!(),
            "quote",
        );
        ::stampede_runtime::__private::stored_site! {
            "quote", ::core::option::Option::None, "redis"
        }
        let here = ::stampede_runtime::__private::Here::new(
                &__SITE,
                || {
                    ::stampede_runtime::__private::Options::new()
                        .ttl(::stampede_runtime::__private::Duration::new(600, 0))
                        .stale(::stampede_runtime::__private::Duration::new(60, 0))
                        .stale_if_error(
                            ::stampede_runtime::__private::Duration::new(3600, 0),
                        )
                        .early(1.0)
                        .jitter(0.1)
                        .none_ttl(::stampede_runtime::__private::Duration::new(0, 0))
                        .capacity(10_000)
                        .timeout(LIMIT)
                        .soft_timeout(
                            ::stampede_runtime::__private::Duration::new(0, 200000000),
                        )
                        .backend("redis")
                        .version(2)
                },
                ::stampede_runtime::__private::share!(Result < Option < Quote >, Error >),
            )
            .cache_err(|error| error.ttl())
            .weigh(|quote| quote.len())
            .is_none(::stampede_runtime::__private::is_none)
            .errs(::stampede_runtime::__private::is_err)
            .refuse(::stampede_runtime::__private::refuse);
        here.stored()
    }
    /// Forgets the result of this key: in this process before the function returns.
    pub fn invalidate(symbol: &str) -> ::stampede_runtime::__private::Invalidation {
        use ::stampede_runtime::__private::parts::*;
        quote::__site()
            .invalidate(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::fed_part!(symbol),
                    ::stampede_runtime::__private::Nil,
                ),
            )
    }
    /// Makes the result of this key old: it is served no more, but to stand in for an error where `stale_if_error` says so.
    pub fn expire(symbol: &str) -> ::stampede_runtime::__private::Invalidation {
        use ::stampede_runtime::__private::parts::*;
        quote::__site()
            .expire(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::fed_part!(symbol),
                    ::stampede_runtime::__private::Nil,
                ),
            )
    }
    /// What forgets the result of this key when it is called.
    pub fn invalidation(symbol: &str) -> ::stampede_runtime::__private::Later {
        use ::stampede_runtime::__private::parts::*;
        quote::__site()
            .invalidation(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::fed_part!(symbol),
                    ::stampede_runtime::__private::Nil,
                ),
            )
    }
    /// Forgets the kept results of this process that are meant, and what is in the air. Returns how many there were.
    pub fn invalidate_where(
        value: impl ::core::ops::Fn(&Result<Option<Quote>, Error>) -> bool,
    ) -> usize {
        quote::__site().invalidate_where(value)
    }
    /// What a call would be answered with from memory now.
    pub fn peek(symbol: &str) -> ::core::option::Option<Result<Option<Quote>, Error>> {
        use ::stampede_runtime::__private::parts::*;
        quote::__site()
            .peek(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::fed_part!(symbol),
                    ::stampede_runtime::__private::Nil,
                ),
            )
    }
    /// Keeps a value, or a whole result, as if a call had returned it.
    pub fn insert(
        symbol: &str,
        value: impl ::stampede_runtime::__private::IntoResult<
            Result<Option<Quote>, Error>,
        >,
    ) {
        use ::stampede_runtime::__private::parts::*;
        quote::__site()
            .insert(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::fed_part!(symbol),
                    ::stampede_runtime::__private::Nil,
                ),
                value,
            )
    }
    /// Runs the function anew, whatever is kept, and keeps its result.
    pub fn refresh(
        symbol: &str,
    ) -> impl ::core::future::Future<
        Output = Result<Option<Quote>, Error>,
    > + ::core::marker::Send {
        quote::__site().refreshing(quote(symbol))
    }
    /// Forgets every result.
    pub fn clear() -> ::stampede_runtime::__private::Invalidation {
        quote::__site().clear()
    }
    /// What became of the calls so far.
    pub fn stats() -> ::stampede_runtime::__private::Stats {
        quote::__site().stats()
    }
}
/// Generic, and kept outside of the process.
#[allow(clippy::manual_async_fn, refining_impl_trait)]
fn list<T: Item, const N: usize>(
    items: [T; N],
) -> impl ::core::future::Future<Output = Vec<T>> + ::core::marker::Send {
    async move {
        #[allow(
            clippy::redundant_closure,
            clippy::redundant_closure_for_method_calls,
            clippy::used_underscore_binding
        )]
        let boarding = match {
            static __SITE: ::stampede_runtime::__private::Site = ::stampede_runtime::__private::Site::new(
                ::core::module_path!(),
                "list",
            );
            ::stampede_runtime::__private::stored_site! {
                "list", ::core::option::Option::Some("lists"), "redis"
            }
            let here = ::stampede_runtime::__private::Here::new(
                &__SITE,
                || {
                    ::stampede_runtime::__private::Options::new()
                        .namespace("lists")
                        .ttl(::stampede_runtime::__private::Duration::new(60, 0))
                        .backend("redis")
                        .instance(::core::any::type_name::<fn(T, [(); N])>())
                },
                ::stampede_runtime::__private::share!(Vec < T >),
            );
            use ::stampede_runtime::__private::parts::*;
            here.stored()
                .board(
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::fed_part!(& items),
                        ::stampede_runtime::__private::Nil,
                    ),
                )
        } {
            ::core::result::Result::Ok(kept) => return kept,
            ::core::result::Result::Err(boarding) => boarding,
        };
        boarding
            .fly(move || {
                async move {
                    #[allow(unreachable_code)]
                    if false {
                        let anchor: Vec<T> = loop {};
                        return anchor;
                    }
                    #[allow(clippy::diverging_sub_expression, unused_braces)]
                    let output: Vec<T> = { items.into() };
                    #[allow(unreachable_code)] return output;
                }
            })
            .await
    }
}
