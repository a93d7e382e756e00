impl Assistant {
    #[allow(clippy::manual_async_fn, refining_impl_trait)]
    pub fn ask(
        self: Arc<Self>,
        question: &str,
    ) -> impl ::core::future::Future<Output = String> + ::core::marker::Send {
        async move {
            #[allow(
                clippy::redundant_closure,
                clippy::redundant_closure_for_method_calls,
                clippy::used_underscore_binding
            )]
            let boarding = match {
                use ::stampede_runtime::__private::parts::*;
                Self::__asked_site()
                    .board(
                        ::stampede_runtime::__private::Meaning::new(
                            ::stampede_runtime::__private::question!(question),
                            ::stampede_runtime::__private::NoTenant,
                            ::stampede_runtime::__private::Cons(
                                ::stampede_runtime::__private::fed_part!(& self.model),
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
                    let question = ::stampede_runtime::__private::own!(question);
                    async move {
                        let this = self;
                        let question: &str = ::stampede_runtime::__private::Borrow::borrow(
                            &question,
                        );
                        #[allow(unreachable_code)]
                        if false {
                            let anchor: String = loop {};
                            return anchor;
                        }
                        #[allow(clippy::diverging_sub_expression, unused_braces)]
                        let output: String = { this.client.ask(question).await };
                        #[allow(unreachable_code)] return output;
                    }
                })
                .await
        }
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
    fn __asked_site() -> ::stampede_runtime::__private::Here<
        impl ::core::ops::Fn(
        ) -> ::stampede_runtime::__private::Options + ::core::marker::Copy + ::core::marker::Send + ::core::marker::Sync + 'static,
        impl ::stampede_runtime::__private::Share<Output = String>,
    > {
        static __SITE: ::stampede_runtime::__private::Site = ::stampede_runtime::__private::Site::new(
            ::core::module_path!(),
            "ask",
        );
        let here = ::stampede_runtime::__private::Here::new(
            &__SITE,
            || {
                ::stampede_runtime::__private::Options::new()
                    .namespace("assistant")
                    .semantic()
            },
            ::stampede_runtime::__private::share!(String),
        );
        here.meant().carried(::stampede_runtime::__private::carry!(String))
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
    pub fn asked_invalidate(
        self: Arc<Self>,
        question: &str,
    ) -> ::stampede_runtime::__private::Invalidation {
        use ::stampede_runtime::__private::parts::*;
        Self::__asked_site()
            .invalidate(
                ::stampede_runtime::__private::Meaning::new(
                    ::stampede_runtime::__private::question!(question),
                    ::stampede_runtime::__private::NoTenant,
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::fed_part!(& self.model),
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
    pub fn asked_expire(
        self: Arc<Self>,
        question: &str,
    ) -> ::stampede_runtime::__private::Invalidation {
        use ::stampede_runtime::__private::parts::*;
        Self::__asked_site()
            .expire(
                ::stampede_runtime::__private::Meaning::new(
                    ::stampede_runtime::__private::question!(question),
                    ::stampede_runtime::__private::NoTenant,
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::fed_part!(& self.model),
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
    pub fn asked_invalidation(
        self: Arc<Self>,
        question: &str,
    ) -> ::stampede_runtime::__private::Later {
        use ::stampede_runtime::__private::parts::*;
        Self::__asked_site()
            .invalidation(
                ::stampede_runtime::__private::Meaning::new(
                    ::stampede_runtime::__private::question!(question),
                    ::stampede_runtime::__private::NoTenant,
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::fed_part!(& self.model),
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
    pub fn asked_invalidate_where(
        value: impl ::core::ops::Fn(&String) -> bool,
    ) -> usize {
        Self::__asked_site().invalidate_where(value)
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
    pub fn asked_peek(
        self: Arc<Self>,
        question: &str,
    ) -> ::core::option::Option<String> {
        use ::stampede_runtime::__private::parts::*;
        Self::__asked_site()
            .peek(
                ::stampede_runtime::__private::Meaning::new(
                    ::stampede_runtime::__private::question!(question),
                    ::stampede_runtime::__private::NoTenant,
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::fed_part!(& self.model),
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
    pub fn asked_insert(
        self: Arc<Self>,
        question: &str,
        value: impl ::stampede_runtime::__private::IntoResult<String>,
    ) {
        use ::stampede_runtime::__private::parts::*;
        Self::__asked_site()
            .insert(
                ::stampede_runtime::__private::Meaning::new(
                    ::stampede_runtime::__private::question!(question),
                    ::stampede_runtime::__private::NoTenant,
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::fed_part!(& self.model),
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
    pub fn asked_refresh(
        self: Arc<Self>,
        question: &str,
    ) -> impl ::core::future::Future<Output = String> + ::core::marker::Send {
        Self::__asked_site().refreshing(Self::ask(self, question))
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
    pub fn asked_clear() -> ::stampede_runtime::__private::Invalidation {
        Self::__asked_site().clear()
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
    pub fn asked_stats() -> ::stampede_runtime::__private::Stats {
        Self::__asked_site().stats()
    }
}
