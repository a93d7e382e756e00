impl<T: Clone> Repository<T> {
    #[allow(clippy::manual_async_fn, refining_impl_trait)]
    pub(crate) fn user<S>(
        &self,
        name: S,
    ) -> impl ::core::future::Future<Output = User> + ::core::marker::Send
    where
        S: Clone,
    {
        async move {
            #[allow(
                clippy::redundant_closure,
                clippy::redundant_closure_for_method_calls,
                clippy::used_underscore_binding
            )]
            let boarding = match {
                use ::stampede_runtime::__private::parts::*;
                Self::__user_site::<S>()
                    .board(
                        ::stampede_runtime::__private::Cons(
                            ::stampede_runtime::__private::part!(& self.id),
                            ::stampede_runtime::__private::Cons(
                                ::stampede_runtime::__private::part!(& name),
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
                    let this = ::stampede_runtime::__private::own_self(self);
                    async move {
                        let this = &this;
                        #[allow(unreachable_code)]
                        if false {
                            let anchor: User = loop {};
                            return anchor;
                        }
                        #[allow(clippy::diverging_sub_expression, unused_braces)]
                        let output: User = { this.query(name).await };
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
    fn __user_site<S>() -> ::stampede_runtime::__private::Here<
        impl ::core::ops::Fn(
        ) -> ::stampede_runtime::__private::Options + ::core::marker::Copy + ::core::marker::Send + ::core::marker::Sync + 'static,
        impl ::stampede_runtime::__private::Share<Output = User>,
    >
    where
        S: Clone,
    {
        static __SITE: ::stampede_runtime::__private::Site = ::stampede_runtime::__private::Site::new(
            ::core::module_path!(),
            "user",
        );
        ::stampede_runtime::__private::Here::new(
            &__SITE,
            || ::stampede_runtime::__private::Options::new(),
            ::stampede_runtime::__private::share!(User),
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
    pub(crate) fn user_invalidate<S>(
        &self,
        name: S,
    ) -> ::stampede_runtime::__private::Invalidation
    where
        S: Clone,
    {
        use ::stampede_runtime::__private::parts::*;
        Self::__user_site::<S>()
            .invalidate(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::part!(& self.id),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(& name),
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
    pub(crate) fn user_expire<S>(
        &self,
        name: S,
    ) -> ::stampede_runtime::__private::Invalidation
    where
        S: Clone,
    {
        use ::stampede_runtime::__private::parts::*;
        Self::__user_site::<S>()
            .expire(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::part!(& self.id),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(& name),
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
    pub(crate) fn user_invalidation<S>(
        &self,
        name: S,
    ) -> ::stampede_runtime::__private::Later
    where
        S: Clone,
    {
        use ::stampede_runtime::__private::parts::*;
        Self::__user_site::<S>()
            .invalidation(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::part!(& self.id),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(& name),
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
    pub(crate) fn user_invalidate_where<S>(
        value: impl ::core::ops::Fn(&User) -> bool,
    ) -> usize
    where
        S: Clone,
    {
        Self::__user_site::<S>().invalidate_where(value)
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
    pub(crate) fn user_peek<S>(&self, name: S) -> ::core::option::Option<User>
    where
        S: Clone,
    {
        use ::stampede_runtime::__private::parts::*;
        Self::__user_site::<S>()
            .peek(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::part!(& self.id),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(& name),
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
    pub(crate) fn user_insert<S>(
        &self,
        name: S,
        value: impl ::stampede_runtime::__private::IntoResult<User>,
    )
    where
        S: Clone,
    {
        use ::stampede_runtime::__private::parts::*;
        Self::__user_site::<S>()
            .insert(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::part!(& self.id),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(& name),
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
    pub(crate) fn user_refresh<S>(
        &self,
        name: S,
    ) -> impl ::core::future::Future<Output = User> + ::core::marker::Send
    where
        S: Clone,
    {
        Self::__user_site::<S>().refreshing(Self::user::<S>(self, name))
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
    pub(crate) fn user_clear<S>() -> ::stampede_runtime::__private::Invalidation
    where
        S: Clone,
    {
        Self::__user_site::<S>().clear()
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
    pub(crate) fn user_stats<S>() -> ::stampede_runtime::__private::Stats
    where
        S: Clone,
    {
        Self::__user_site::<S>().stats()
    }
    #[allow(clippy::manual_async_fn, refining_impl_trait)]
    fn count(
        self: Arc<Self>,
    ) -> impl ::core::future::Future<Output = u64> + ::core::marker::Send {
        async move {
            #[allow(
                clippy::redundant_closure,
                clippy::redundant_closure_for_method_calls,
                clippy::used_underscore_binding
            )]
            let boarding = match {
                static __SITE: ::stampede_runtime::__private::Site = ::stampede_runtime::__private::Site::new(
                    ::core::module_path!(),
                    "count",
                );
                ::stampede_runtime::__private::Here::new(
                        &__SITE,
                        || ::stampede_runtime::__private::Options::new(),
                        ::stampede_runtime::__private::share!(u64),
                    )
                    .board(::stampede_runtime::__private::Nil)
            } {
                ::core::result::Result::Ok(kept) => return kept,
                ::core::result::Result::Err(boarding) => boarding,
            };
            boarding
                .fly(move || {
                    async move {
                        let this = self;
                        #[allow(unreachable_code)]
                        if false {
                            let anchor: u64 = loop {};
                            return anchor;
                        }
                        #[allow(clippy::diverging_sub_expression, unused_braces)]
                        let output: u64 = { this.count };
                        #[allow(unreachable_code)] return output;
                    }
                })
                .await
        }
    }
}
