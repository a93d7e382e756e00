#[allow(clippy::manual_async_fn, refining_impl_trait)]
fn answer(
    question: &str,
) -> impl ::core::future::Future<Output = Answer> + ::core::marker::Send {
    async move {
        #[allow(
            clippy::redundant_closure,
            clippy::redundant_closure_for_method_calls,
            clippy::used_underscore_binding
        )]
        let boarding = match {
            answer::__site()
                .board(
                    ::stampede_runtime::__private::Meaning::new(
                        ::stampede_runtime::__private::question!(question),
                        ::stampede_runtime::__private::NoTenant,
                        ::stampede_runtime::__private::Nil,
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
                    let question: &str = ::stampede_runtime::__private::Borrow::borrow(
                        &question,
                    );
                    #[allow(unreachable_code)]
                    if false {
                        let anchor: Answer = loop {};
                        return anchor;
                    }
                    #[allow(clippy::diverging_sub_expression, unused_braces)]
                    let output: Answer = { ask(question).await };
                    #[allow(unreachable_code)] return output;
                }
            })
            .await
    }
}
/// What can be done about the calls of `answer`.
#[allow(
    non_camel_case_types,
    missing_copy_implementations,
    missing_debug_implementations
)]
struct answer {}
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
impl answer {
    fn __site() -> ::stampede_runtime::__private::Here<
        impl ::core::ops::Fn(
        ) -> ::stampede_runtime::__private::Options + ::core::marker::Copy + ::core::marker::Send + ::core::marker::Sync + 'static,
        impl ::stampede_runtime::__private::Share<Output = Answer>,
    > {
        static __SITE: ::stampede_runtime::__private::Site = ::stampede_runtime::__private::Site::new(
            ::core::module_path!(),
            "answer",
        );
        let here = ::stampede_runtime::__private::Here::new(
                &__SITE,
                || {
                    ::stampede_runtime::__private::Options::new()
                        .semantic()
                        .verify_timeout(
                            ::stampede_runtime::__private::Duration::new(1, 0),
                        )
                        .verify_concurrent(4)
                        .shadow(0.01)
                        .max_error(0.02)
                },
                ::stampede_runtime::__private::share!(Answer),
            )
            .verify(|asked, found, value| ::std::boxed::Box::pin(async move {
                ::stampede_runtime::__private::verdict!(
                    judges::means_the_same, asked, found, value
                )
            }))
            .agree(|old, new| old.text == new.text);
        here.meant().carried(::stampede_runtime::__private::carry!(Answer))
    }
    /// Forgets the result of this key: in this process before the function returns.
    fn invalidate(question: &str) -> ::stampede_runtime::__private::Invalidation {
        answer::__site()
            .invalidate(
                ::stampede_runtime::__private::Meaning::new(
                    ::stampede_runtime::__private::question!(question),
                    ::stampede_runtime::__private::NoTenant,
                    ::stampede_runtime::__private::Nil,
                ),
            )
    }
    /// Makes the result of this key old: it is served no more, but to stand in for an error where `stale_if_error` says so.
    fn expire(question: &str) -> ::stampede_runtime::__private::Invalidation {
        answer::__site()
            .expire(
                ::stampede_runtime::__private::Meaning::new(
                    ::stampede_runtime::__private::question!(question),
                    ::stampede_runtime::__private::NoTenant,
                    ::stampede_runtime::__private::Nil,
                ),
            )
    }
    /// What forgets the result of this key when it is called.
    fn invalidation(question: &str) -> ::stampede_runtime::__private::Later {
        answer::__site()
            .invalidation(
                ::stampede_runtime::__private::Meaning::new(
                    ::stampede_runtime::__private::question!(question),
                    ::stampede_runtime::__private::NoTenant,
                    ::stampede_runtime::__private::Nil,
                ),
            )
    }
    /// Forgets the kept results of this process that are meant, and what is in the air. Returns how many there were.
    fn invalidate_where(value: impl ::core::ops::Fn(&Answer) -> bool) -> usize {
        answer::__site().invalidate_where(value)
    }
    /// What a call would be answered with from memory now.
    fn peek(question: &str) -> ::core::option::Option<Answer> {
        answer::__site()
            .peek(
                ::stampede_runtime::__private::Meaning::new(
                    ::stampede_runtime::__private::question!(question),
                    ::stampede_runtime::__private::NoTenant,
                    ::stampede_runtime::__private::Nil,
                ),
            )
    }
    /// Keeps a value, or a whole result, as if a call had returned it.
    fn insert(
        question: &str,
        value: impl ::stampede_runtime::__private::IntoResult<Answer>,
    ) {
        answer::__site()
            .insert(
                ::stampede_runtime::__private::Meaning::new(
                    ::stampede_runtime::__private::question!(question),
                    ::stampede_runtime::__private::NoTenant,
                    ::stampede_runtime::__private::Nil,
                ),
                value,
            )
    }
    /// Runs the function anew, whatever is kept, and keeps its result.
    fn refresh(
        question: &str,
    ) -> impl ::core::future::Future<Output = Answer> + ::core::marker::Send {
        answer::__site().refreshing(answer(question))
    }
    /// Forgets every result.
    fn clear() -> ::stampede_runtime::__private::Invalidation {
        answer::__site().clear()
    }
    /// What became of the calls so far.
    fn stats() -> ::stampede_runtime::__private::Stats {
        answer::__site().stats()
    }
}
