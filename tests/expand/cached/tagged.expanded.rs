#[allow(clippy::manual_async_fn, refining_impl_trait)]
fn load(id: u64) -> impl ::core::future::Future<Output = User> + ::core::marker::Send {
    async move {
        #[allow(
            clippy::redundant_closure,
            clippy::redundant_closure_for_method_calls,
            clippy::used_underscore_binding
        )]
        let boarding = match {
            load::__site()
                .board(
                    ::stampede_runtime::__private::text(
                        ::core::format_args!("user:{}", ::core::format_args!("{}", id)),
                    ),
                )
        } {
            ::core::result::Result::Ok(kept) => return kept,
            ::core::result::Result::Err(boarding) => boarding,
        };
        #[allow(clippy::used_underscore_binding)]
        let boarding = boarding
            .tagged(|| {
                ::std::vec![
                    ::stampede_runtime::__private::tag(::core::format_args!("user:{}",
                    ::core::format_args!("{}", id)))
                ]
            });
        boarding
            .fly(move || {
                async move {
                    #[allow(unreachable_code)]
                    if false {
                        let anchor: User = loop {};
                        return anchor;
                    }
                    #[allow(clippy::diverging_sub_expression, unused_braces)]
                    let output: User = { fetch(id).await };
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
struct load {}
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
        impl ::stampede_runtime::__private::Share<Output = User>,
    > {
        static __SITE: ::stampede_runtime::__private::Site = ::stampede_runtime::__private::Site::new(
            ::core::module_path!(),
            "load",
        );
        ::stampede_runtime::__private::Here::new(
                &__SITE,
                || {
                    ::stampede_runtime::__private::Options::new()
                        .ttl(::stampede_runtime::__private::Duration::new(300, 0))
                },
                ::stampede_runtime::__private::share!(User),
            )
            .tags(|value| ::stampede_runtime::__private::tags_by(
                value,
                |user| [user.team.clone()],
            ))
    }
    /// Forgets the result of this key: in this process before the function returns.
    fn invalidate(id: u64) -> ::stampede_runtime::__private::Invalidation {
        load::__site()
            .invalidate(
                ::stampede_runtime::__private::text(
                    ::core::format_args!("user:{}", ::core::format_args!("{}", id)),
                ),
            )
    }
    /// Makes the result of this key old: it is served no more, but to stand in for an error where `stale_if_error` says so.
    fn expire(id: u64) -> ::stampede_runtime::__private::Invalidation {
        load::__site()
            .expire(
                ::stampede_runtime::__private::text(
                    ::core::format_args!("user:{}", ::core::format_args!("{}", id)),
                ),
            )
    }
    /// What forgets the result of this key when it is called.
    fn invalidation(id: u64) -> ::stampede_runtime::__private::Later {
        load::__site()
            .invalidation(
                ::stampede_runtime::__private::text(
                    ::core::format_args!("user:{}", ::core::format_args!("{}", id)),
                ),
            )
    }
    /// Forgets the kept results of this process that are meant, and what is in the air. Returns how many there were.
    fn invalidate_where(value: impl ::core::ops::Fn(&User) -> bool) -> usize {
        load::__site().invalidate_where(value)
    }
    /// What a call would be answered with from memory now.
    fn peek(id: u64) -> ::core::option::Option<User> {
        load::__site()
            .peek(
                ::stampede_runtime::__private::text(
                    ::core::format_args!("user:{}", ::core::format_args!("{}", id)),
                ),
            )
    }
    /// Keeps a value, or a whole result, as if a call had returned it.
    fn insert(id: u64, value: impl ::stampede_runtime::__private::IntoResult<User>) {
        load::__site()
            .insert_tagged(
                ::stampede_runtime::__private::text(
                    ::core::format_args!("user:{}", ::core::format_args!("{}", id)),
                ),
                value,
                {
                    ::std::vec![
                        ::stampede_runtime::__private::tag(::core::format_args!("user:{}",
                        ::core::format_args!("{}", id)))
                    ]
                },
            )
    }
    /// Runs the function anew, whatever is kept, and keeps its result.
    fn refresh(
        id: u64,
    ) -> impl ::core::future::Future<Output = User> + ::core::marker::Send {
        load::__site().refreshing(load(id))
    }
    /// Forgets every result.
    fn clear() -> ::stampede_runtime::__private::Invalidation {
        load::__site().clear()
    }
    /// What became of the calls so far.
    fn stats() -> ::stampede_runtime::__private::Stats {
        load::__site().stats()
    }
    /// Forgets the results of all keys that match: `*` is any text, `?` one character, `[a-z]` one of several.
    fn invalidate_pattern(pattern: &str) -> ::stampede_runtime::__private::Invalidation {
        load::__site().invalidate_pattern(pattern)
    }
}
