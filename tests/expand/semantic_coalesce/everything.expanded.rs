#[allow(clippy::manual_async_fn, refining_impl_trait)]
pub fn answer(
    user: &User,
    model: &Model,
    history: &[Turn],
    question: String,
) -> impl ::core::future::Future<Output = Result<Answer, Error>> + ::core::marker::Send {
    async move {
        #[allow(
            clippy::redundant_closure,
            clippy::redundant_closure_for_method_calls,
            clippy::used_underscore_binding
        )]
        let boarding = match {
            use ::stampede_runtime::__private::parts::*;
            answers::__site()
                .board(
                    ::stampede_runtime::__private::Meaning::new(
                        ::stampede_runtime::__private::question!(& question),
                        ::stampede_runtime::__private::tenant!(& user.organisation),
                        ::stampede_runtime::__private::Cons(
                            ::stampede_runtime::__private::fed_part!(& model.name),
                            ::stampede_runtime::__private::Cons(
                                ::stampede_runtime::__private::fed_part!(& history.len()),
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
            .fly(move || {
                let user = ::stampede_runtime::__private::own!(user);
                let model = ::stampede_runtime::__private::own!(model);
                let history = ::stampede_runtime::__private::own!(history);
                async move {
                    let user: &User = ::stampede_runtime::__private::Borrow::borrow(
                        &user,
                    );
                    let model: &Model = ::stampede_runtime::__private::Borrow::borrow(
                        &model,
                    );
                    let history: &[Turn] = ::stampede_runtime::__private::Borrow::borrow(
                        &history,
                    );
                    #[allow(unreachable_code)]
                    if false {
                        let anchor: Result<Answer, Error> = loop {};
                        return anchor;
                    }
                    #[allow(clippy::diverging_sub_expression, unused_braces)]
                    let output: Result<Answer, Error> = {
                        model.answer(user, history, question).await
                    };
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
pub struct answers {}
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
impl answers {
    fn __site() -> ::stampede_runtime::__private::Here<
        impl ::core::ops::Fn(
        ) -> ::stampede_runtime::__private::Options + ::core::marker::Copy + ::core::marker::Send + ::core::marker::Sync + 'static,
        impl ::stampede_runtime::__private::Share<Output = Result<Answer, Error>>,
    > {
        static __SITE: ::stampede_runtime::__private::Site = ::stampede_runtime::__private::Site::new(
            ::core::module_path!(),
            "answer",
        );
        ::stampede_runtime::__private::meant_site! {
            "answer", ::core::option::Option::Some("assistant"), "meanings"
        }
        let here = ::stampede_runtime::__private::Here::new(
            &__SITE,
            || {
                ::stampede_runtime::__private::Options::new()
                    .namespace("assistant")
                    .ttl(::stampede_runtime::__private::Duration::new(3600, 0))
                    .backend("meanings")
                    .version(3)
                    .semantic()
                    .threshold(0.95)
                    .guards(&["numbers", "negation"])
                    .embed(
                        ::stampede_runtime::__private::embedder!(
                            crate ::embed, "crate::embed"
                        ),
                    )
                    .lease(::stampede_runtime::__private::Duration::new(2, 0))
                    .share_errors(true)
            },
            ::stampede_runtime::__private::share!(Result < Answer, Error >),
        );
        here.meant()
            .carried(
                ::stampede_runtime::__private::must_carry!(Result < Answer, Error >),
            )
    }
    /// Forgets the result of this key: in this process before the function returns.
    pub fn invalidate(
        user: &User,
        model: &Model,
        history: &[Turn],
        question: String,
    ) -> ::stampede_runtime::__private::Invalidation {
        use ::stampede_runtime::__private::parts::*;
        answers::__site()
            .invalidate(
                ::stampede_runtime::__private::Meaning::new(
                    ::stampede_runtime::__private::question!(& question),
                    ::stampede_runtime::__private::tenant!(& user.organisation),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::fed_part!(& model.name),
                        ::stampede_runtime::__private::Cons(
                            ::stampede_runtime::__private::fed_part!(& history.len()),
                            ::stampede_runtime::__private::Nil,
                        ),
                    ),
                ),
            )
    }
    /// Makes the result of this key old: it is served no more, but to stand in for an error where `stale_if_error` says so.
    pub fn expire(
        user: &User,
        model: &Model,
        history: &[Turn],
        question: String,
    ) -> ::stampede_runtime::__private::Invalidation {
        use ::stampede_runtime::__private::parts::*;
        answers::__site()
            .expire(
                ::stampede_runtime::__private::Meaning::new(
                    ::stampede_runtime::__private::question!(& question),
                    ::stampede_runtime::__private::tenant!(& user.organisation),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::fed_part!(& model.name),
                        ::stampede_runtime::__private::Cons(
                            ::stampede_runtime::__private::fed_part!(& history.len()),
                            ::stampede_runtime::__private::Nil,
                        ),
                    ),
                ),
            )
    }
    /// What forgets the result of this key when it is called.
    pub fn invalidation(
        user: &User,
        model: &Model,
        history: &[Turn],
        question: String,
    ) -> ::stampede_runtime::__private::Later {
        use ::stampede_runtime::__private::parts::*;
        answers::__site()
            .invalidation(
                ::stampede_runtime::__private::Meaning::new(
                    ::stampede_runtime::__private::question!(& question),
                    ::stampede_runtime::__private::tenant!(& user.organisation),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::fed_part!(& model.name),
                        ::stampede_runtime::__private::Cons(
                            ::stampede_runtime::__private::fed_part!(& history.len()),
                            ::stampede_runtime::__private::Nil,
                        ),
                    ),
                ),
            )
    }
    /// Forgets the kept results of this process that are meant, and what is in the air. Returns how many there were.
    pub fn invalidate_where(
        value: impl ::core::ops::Fn(&Result<Answer, Error>) -> bool,
    ) -> usize {
        answers::__site().invalidate_where(value)
    }
    /// What a call would be answered with from memory now.
    pub fn peek(
        user: &User,
        model: &Model,
        history: &[Turn],
        question: String,
    ) -> ::core::option::Option<Result<Answer, Error>> {
        use ::stampede_runtime::__private::parts::*;
        answers::__site()
            .peek(
                ::stampede_runtime::__private::Meaning::new(
                    ::stampede_runtime::__private::question!(& question),
                    ::stampede_runtime::__private::tenant!(& user.organisation),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::fed_part!(& model.name),
                        ::stampede_runtime::__private::Cons(
                            ::stampede_runtime::__private::fed_part!(& history.len()),
                            ::stampede_runtime::__private::Nil,
                        ),
                    ),
                ),
            )
    }
    /// Keeps a value, or a whole result, as if a call had returned it.
    pub fn insert(
        user: &User,
        model: &Model,
        history: &[Turn],
        question: String,
        value: impl ::stampede_runtime::__private::IntoResult<Result<Answer, Error>>,
    ) {
        use ::stampede_runtime::__private::parts::*;
        answers::__site()
            .insert(
                ::stampede_runtime::__private::Meaning::new(
                    ::stampede_runtime::__private::question!(& question),
                    ::stampede_runtime::__private::tenant!(& user.organisation),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::fed_part!(& model.name),
                        ::stampede_runtime::__private::Cons(
                            ::stampede_runtime::__private::fed_part!(& history.len()),
                            ::stampede_runtime::__private::Nil,
                        ),
                    ),
                ),
                value,
            )
    }
    /// Runs the function anew, whatever is kept, and keeps its result.
    pub fn refresh(
        user: &User,
        model: &Model,
        history: &[Turn],
        question: String,
    ) -> impl ::core::future::Future<
        Output = Result<Answer, Error>,
    > + ::core::marker::Send {
        answers::__site().refreshing(answer(user, model, history, question))
    }
    /// Forgets every result.
    pub fn clear() -> ::stampede_runtime::__private::Invalidation {
        answers::__site().clear()
    }
    /// What became of the calls so far.
    pub fn stats() -> ::stampede_runtime::__private::Stats {
        answers::__site().stats()
    }
}
