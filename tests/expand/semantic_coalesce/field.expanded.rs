fn answer(request: &Request) -> Answer {
    #[allow(
        clippy::redundant_closure,
        clippy::redundant_closure_for_method_calls,
        clippy::used_underscore_binding
    )]
    let boarding = match {
        static __SITE: ::stampede_runtime::__private::Site = ::stampede_runtime::__private::Site::new(
            ::core::module_path!(),
            "answer",
        );
        let here = ::stampede_runtime::__private::Here::new(
            &__SITE,
            || {
                ::stampede_runtime::__private::Options::new()
                    .semantic()
                    .blocking()
                    .attached()
            },
            ::stampede_runtime::__private::share!(Answer),
        );
        use ::stampede_runtime::__private::parts::*;
        here.meant()
            .carried(::stampede_runtime::__private::carry!(Answer))
            .board(
                ::stampede_runtime::__private::Meaning::new(
                    ::stampede_runtime::__private::question!(& request.messages.0),
                    ::stampede_runtime::__private::NoTenant,
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::fed_part!(& request.model),
                        ::stampede_runtime::__private::Nil,
                    ),
                ),
            )
    } {
        ::core::result::Result::Ok(kept) => return kept,
        ::core::result::Result::Err(boarding) => boarding,
    };
    boarding
        .run(move || -> Answer {
            #[allow(clippy::diverging_sub_expression, unused_braces)]
            let output: Answer = { answer_now(request) };
            #[allow(unreachable_code)] return output;
        })
}
