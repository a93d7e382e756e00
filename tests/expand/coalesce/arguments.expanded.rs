/// Loads a page.
#[allow(clippy::manual_async_fn, refining_impl_trait)]
pub fn load(
    topic: &str,
    n: u32,
) -> impl ::core::future::Future<Output = Result<Page, Error>> + ::core::marker::Send {
    async move {
        #[allow(
            clippy::redundant_closure,
            clippy::redundant_closure_for_method_calls,
            clippy::used_underscore_binding
        )]
        let boarding = match {
            use ::stampede_runtime::__private::parts::*;
            load::__site()
                .board(
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(topic),
                        ::stampede_runtime::__private::Cons(
                            ::stampede_runtime::__private::part!(& n),
                            ::stampede_runtime::__private::Nil,
                        ),
                    ),
                )
        } {
            ::core::result::Result::Ok(kept) => return kept,
            ::core::result::Result::Err(boarding) => boarding,
        };
        boarding
            .fly(move || {
                let topic = ::stampede_runtime::__private::own!(topic);
                async move {
                    let topic: &str = ::stampede_runtime::__private::Borrow::borrow(
                        &topic,
                    );
                    let mut n = n;
                    #[allow(unreachable_code)]
                    if false {
                        let anchor: Result<Page, Error> = loop {};
                        return anchor;
                    }
                    #[allow(clippy::diverging_sub_expression, unused_braces)]
                    let output: Result<Page, Error> = {
                        n += 1;
                        fetch(topic, n).await
                    };
                    #[allow(unreachable_code)] return output;
                }
            })
            .await
    }
}
/// What can be done about the calls of `load`.
#[allow(
    non_camel_case_types,
    missing_copy_implementations,
    missing_debug_implementations
)]
pub struct load {}
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
impl load {
    fn __site() -> ::stampede_runtime::__private::Here<
        impl ::core::ops::Fn(
        ) -> ::stampede_runtime::__private::Options + ::core::marker::Copy + ::core::marker::Send + ::core::marker::Sync + 'static,
        impl ::stampede_runtime::__private::Share<Output = Result<Page, Error>>,
    > {
        static __SITE: ::stampede_runtime::__private::Site = ::stampede_runtime::__private::Site::new(
            ::core::module_path!(),
            "load",
        );
        ::stampede_runtime::__private::Here::new(
                &__SITE,
                || {
                    ::stampede_runtime::__private::Options::new()
                        .ttl(::stampede_runtime::__private::Duration::new(60, 0))
                        .timeout(::stampede_runtime::__private::Duration::new(10, 0))
                },
                ::stampede_runtime::__private::share!(Result < Page, Error >),
            )
            .cache_if(|page| page.complete)
            .refuse(::stampede_runtime::__private::refuse)
    }
    /// Forgets the result of this key: in this process before the function returns.
    pub fn invalidate(
        topic: &str,
        n: u32,
    ) -> ::stampede_runtime::__private::Invalidation {
        use ::stampede_runtime::__private::parts::*;
        load::__site()
            .invalidate(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::part!(topic),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(& n),
                        ::stampede_runtime::__private::Nil,
                    ),
                ),
            )
    }
    /// Makes the result of this key old: it is served no more, but to stand in for an error where `stale_if_error` says so.
    pub fn expire(topic: &str, n: u32) -> ::stampede_runtime::__private::Invalidation {
        use ::stampede_runtime::__private::parts::*;
        load::__site()
            .expire(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::part!(topic),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(& n),
                        ::stampede_runtime::__private::Nil,
                    ),
                ),
            )
    }
    /// What forgets the result of this key when it is called.
    pub fn invalidation(topic: &str, n: u32) -> ::stampede_runtime::__private::Later {
        use ::stampede_runtime::__private::parts::*;
        load::__site()
            .invalidation(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::part!(topic),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(& n),
                        ::stampede_runtime::__private::Nil,
                    ),
                ),
            )
    }
    /// Forgets the kept results of this process that are meant, and what is in the air. Returns how many there were.
    pub fn invalidate_where(
        value: impl ::core::ops::Fn(&Result<Page, Error>) -> bool,
    ) -> usize {
        load::__site().invalidate_where(value)
    }
    /// What a call would be answered with from memory now.
    pub fn peek(topic: &str, n: u32) -> ::core::option::Option<Result<Page, Error>> {
        use ::stampede_runtime::__private::parts::*;
        load::__site()
            .peek(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::part!(topic),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(& n),
                        ::stampede_runtime::__private::Nil,
                    ),
                ),
            )
    }
    /// Keeps a value, or a whole result, as if a call had returned it.
    pub fn insert(
        topic: &str,
        n: u32,
        value: impl ::stampede_runtime::__private::IntoResult<Result<Page, Error>>,
    ) {
        use ::stampede_runtime::__private::parts::*;
        load::__site()
            .insert(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::part!(topic),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(& n),
                        ::stampede_runtime::__private::Nil,
                    ),
                ),
                value,
            )
    }
    /// Runs the function anew, whatever is kept, and keeps its result.
    pub fn refresh(
        topic: &str,
        n: u32,
    ) -> impl ::core::future::Future<
        Output = Result<Page, Error>,
    > + ::core::marker::Send {
        load::__site().refreshing(load(topic, n))
    }
    /// Forgets every result.
    pub fn clear() -> ::stampede_runtime::__private::Invalidation {
        load::__site().clear()
    }
    /// What became of the calls so far.
    pub fn stats() -> ::stampede_runtime::__private::Stats {
        load::__site().stats()
    }
}
