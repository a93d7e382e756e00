/// The body borrows its arguments as they are.
pub fn parse(
    source: &str,
    depth: u32,
    __argument_2: (u8, u8),
    log: &dyn Log,
) -> Result<Tree, Error> {
    #[allow(
        clippy::redundant_closure,
        clippy::redundant_closure_for_method_calls,
        clippy::used_underscore_binding
    )]
    let boarding = match {
        static __SITE: ::stampede_runtime::__private::Site = ::stampede_runtime::__private::Site::new(
            ::core::module_path!(),
            "parse",
        );
        use ::stampede_runtime::__private::parts::*;
        ::stampede_runtime::__private::Here::new(
                &__SITE,
                || {
                    ::stampede_runtime::__private::Options::new()
                        .ttl(::stampede_runtime::__private::Duration::new(60, 0))
                        .blocking()
                        .attached()
                },
                ::stampede_runtime::__private::share!(Result < Tree, Error >),
            )
            .board(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::part!(source),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(& depth),
                        ::stampede_runtime::__private::Cons(
                            ::stampede_runtime::__private::part!(& __argument_2),
                            ::stampede_runtime::__private::Nil,
                        ),
                    ),
                ),
            )
    } {
        ::core::result::Result::Ok(kept) => return kept,
        ::core::result::Result::Err(boarding) => boarding,
    };
    boarding
        .run(move || -> Result<Tree, Error> {
            let mut depth = depth;
            #[allow(unused_mut)]
            let mut whole = __argument_2;
            let (left, _) = whole;
            #[allow(clippy::diverging_sub_expression, unused_braces)]
            let output: Result<Tree, Error> = {
                depth += 1;
                Parser::new(source, log).parse(depth)
            };
            #[allow(unreachable_code)] return output;
        })
}
impl Store {
    fn row(&self, at: usize) -> Option<Row> {
        #[allow(
            clippy::redundant_closure,
            clippy::redundant_closure_for_method_calls,
            clippy::used_underscore_binding
        )]
        let boarding = match {
            use ::stampede_runtime::__private::parts::*;
            Self::__row_site()
                .board(
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(& self.id),
                        ::stampede_runtime::__private::Cons(
                            ::stampede_runtime::__private::part!(& at),
                            ::stampede_runtime::__private::Nil,
                        ),
                    ),
                )
        } {
            ::core::result::Result::Ok(kept) => return kept,
            ::core::result::Result::Err(boarding) => boarding,
        };
        boarding
            .run(move || -> Option<Row> {
                #[allow(clippy::diverging_sub_expression, unused_braces)]
                let output: Option<Row> = { self.rows.get(at).cloned() };
                #[allow(unreachable_code)] return output;
            })
    }
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
    fn __row_site() -> ::stampede_runtime::__private::Here<
        impl ::core::ops::Fn(
        ) -> ::stampede_runtime::__private::Options + ::core::marker::Copy + ::core::marker::Send + ::core::marker::Sync + 'static,
        impl ::stampede_runtime::__private::Share<Output = Option<Row>>,
    > {
        static __SITE: ::stampede_runtime::__private::Site = ::stampede_runtime::__private::Site::new(
            ::core::module_path!(),
            "row",
        );
        ::stampede_runtime::__private::Here::new(
            &__SITE,
            || {
                ::stampede_runtime::__private::Options::new()
                    .ttl(::stampede_runtime::__private::Duration::new(60, 0))
                    .blocking()
                    .attached()
            },
            ::stampede_runtime::__private::share!(Option < Row >),
        )
    }
    /// Forgets the result of this key: in this process before the function returns.
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
    fn row_invalidate(&self, at: usize) -> ::stampede_runtime::__private::Invalidation {
        use ::stampede_runtime::__private::parts::*;
        Self::__row_site()
            .invalidate(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::part!(& self.id),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(& at),
                        ::stampede_runtime::__private::Nil,
                    ),
                ),
            )
    }
    /// Makes the result of this key old: it is served no more, but to stand in for an error where `stale_if_error` says so.
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
    fn row_expire(&self, at: usize) -> ::stampede_runtime::__private::Invalidation {
        use ::stampede_runtime::__private::parts::*;
        Self::__row_site()
            .expire(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::part!(& self.id),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(& at),
                        ::stampede_runtime::__private::Nil,
                    ),
                ),
            )
    }
    /// What forgets the result of this key when it is called.
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
    fn row_invalidation(&self, at: usize) -> ::stampede_runtime::__private::Later {
        use ::stampede_runtime::__private::parts::*;
        Self::__row_site()
            .invalidation(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::part!(& self.id),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(& at),
                        ::stampede_runtime::__private::Nil,
                    ),
                ),
            )
    }
    /// Forgets the kept results of this process that are meant, and what is in the air. Returns how many there were.
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
    fn row_invalidate_where(value: impl ::core::ops::Fn(&Option<Row>) -> bool) -> usize {
        Self::__row_site().invalidate_where(value)
    }
    /// What a call would be answered with from memory now.
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
    fn row_peek(&self, at: usize) -> ::core::option::Option<Option<Row>> {
        use ::stampede_runtime::__private::parts::*;
        Self::__row_site()
            .peek(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::part!(& self.id),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(& at),
                        ::stampede_runtime::__private::Nil,
                    ),
                ),
            )
    }
    /// Keeps a value, or a whole result, as if a call had returned it.
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
    fn row_insert(
        &self,
        at: usize,
        value: impl ::stampede_runtime::__private::IntoResult<Option<Row>>,
    ) {
        use ::stampede_runtime::__private::parts::*;
        Self::__row_site()
            .insert(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::part!(& self.id),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(& at),
                        ::stampede_runtime::__private::Nil,
                    ),
                ),
                value,
            )
    }
    /// Runs the function anew, whatever is kept, and keeps its result.
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
    fn row_refresh(&self, at: usize) -> Option<Row> {
        Self::__row_site().refreshing_now(|| Self::row(self, at))
    }
    /// Forgets every result.
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
    fn row_clear() -> ::stampede_runtime::__private::Invalidation {
        Self::__row_site().clear()
    }
    /// What became of the calls so far.
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
    fn row_stats() -> ::stampede_runtime::__private::Stats {
        Self::__row_site().stats()
    }
}
