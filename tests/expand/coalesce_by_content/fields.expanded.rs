#[allow(clippy::manual_async_fn, refining_impl_trait)]
fn answer(
    topic: &str,
    context: String,
    client: &Client,
) -> impl ::core::future::Future<Output = String> + ::core::marker::Send {
    async move {
        #[allow(
            clippy::redundant_closure,
            clippy::redundant_closure_for_method_calls,
            clippy::used_underscore_binding
        )]
        let boarding = match {
            answer::__site()
                .board(
                    ::stampede_runtime::__private::Content::new(::stampede_runtime::__private::Steps {
                            nfkc: false,
                            case: true,
                            trim: true,
                            spaces: false,
                        })
                        .field("topic", topic)
                        .field("context", &context)
                        .digest(),
                )
        } {
            ::core::result::Result::Ok(kept) => return kept,
            ::core::result::Result::Err(boarding) => boarding,
        };
        boarding
            .fly(move || {
                let topic = ::stampede_runtime::__private::own!(topic);
                let client = ::stampede_runtime::__private::own!(client);
                async move {
                    let topic: &str = ::stampede_runtime::__private::Borrow::borrow(
                        &topic,
                    );
                    let client: &Client = ::stampede_runtime::__private::Borrow::borrow(
                        &client,
                    );
                    #[allow(unreachable_code)]
                    if false {
                        let anchor: String = loop {};
                        return anchor;
                    }
                    #[allow(clippy::diverging_sub_expression, unused_braces)]
                    let output: String = { client.ask(topic, &context).await };
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
        impl ::stampede_runtime::__private::Share<Output = String>,
    > {
        static __SITE: ::stampede_runtime::__private::Site = ::stampede_runtime::__private::Site::new(
            ::core::module_path!(),
            "answer",
        );
        ::stampede_runtime::__private::Here::new(
            &__SITE,
            || {
                ::stampede_runtime::__private::Options::new()
                    .ttl(::stampede_runtime::__private::Duration::new(300, 0))
            },
            ::stampede_runtime::__private::share!(String),
        )
    }
    /// Forgets the result of this key: in this process before the function returns.
    fn invalidate(
        topic: &str,
        context: String,
    ) -> ::stampede_runtime::__private::Invalidation {
        answer::__site()
            .invalidate(
                ::stampede_runtime::__private::Content::new(::stampede_runtime::__private::Steps {
                        nfkc: false,
                        case: true,
                        trim: true,
                        spaces: false,
                    })
                    .field("topic", topic)
                    .field("context", &context)
                    .digest(),
            )
    }
    /// Makes the result of this key old: it is served no more, but to stand in for an error where `stale_if_error` says so.
    fn expire(
        topic: &str,
        context: String,
    ) -> ::stampede_runtime::__private::Invalidation {
        answer::__site()
            .expire(
                ::stampede_runtime::__private::Content::new(::stampede_runtime::__private::Steps {
                        nfkc: false,
                        case: true,
                        trim: true,
                        spaces: false,
                    })
                    .field("topic", topic)
                    .field("context", &context)
                    .digest(),
            )
    }
    /// What forgets the result of this key when it is called.
    fn invalidation(
        topic: &str,
        context: String,
    ) -> ::stampede_runtime::__private::Later {
        answer::__site()
            .invalidation(
                ::stampede_runtime::__private::Content::new(::stampede_runtime::__private::Steps {
                        nfkc: false,
                        case: true,
                        trim: true,
                        spaces: false,
                    })
                    .field("topic", topic)
                    .field("context", &context)
                    .digest(),
            )
    }
    /// Forgets the kept results of this process that are meant, and what is in the air. Returns how many there were.
    fn invalidate_where(value: impl ::core::ops::Fn(&String) -> bool) -> usize {
        answer::__site().invalidate_where(value)
    }
    /// What a call would be answered with from memory now.
    fn peek(topic: &str, context: String) -> ::core::option::Option<String> {
        answer::__site()
            .peek(
                ::stampede_runtime::__private::Content::new(::stampede_runtime::__private::Steps {
                        nfkc: false,
                        case: true,
                        trim: true,
                        spaces: false,
                    })
                    .field("topic", topic)
                    .field("context", &context)
                    .digest(),
            )
    }
    /// Keeps a value, or a whole result, as if a call had returned it.
    fn insert(
        topic: &str,
        context: String,
        value: impl ::stampede_runtime::__private::IntoResult<String>,
    ) {
        answer::__site()
            .insert(
                ::stampede_runtime::__private::Content::new(::stampede_runtime::__private::Steps {
                        nfkc: false,
                        case: true,
                        trim: true,
                        spaces: false,
                    })
                    .field("topic", topic)
                    .field("context", &context)
                    .digest(),
                value,
            )
    }
    /// Runs the function anew, whatever is kept, and keeps its result.
    fn refresh(
        topic: &str,
        context: String,
        client: &Client,
    ) -> impl ::core::future::Future<Output = String> + ::core::marker::Send {
        answer::__site().refreshing(answer(topic, context, client))
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
