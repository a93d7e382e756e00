#[allow(clippy::manual_async_fn, refining_impl_trait)]
fn forecast(
    city: &str,
) -> impl ::core::future::Future<
    Output = Result<String, String>,
> + ::core::marker::Send {
    async move {
        #[allow(
            clippy::redundant_closure,
            clippy::redundant_closure_for_method_calls,
            clippy::used_underscore_binding
        )]
        let boarding = match {
            static __SITE: ::stampede_runtime::__private::Site = ::stampede_runtime::__private::Site::new(
                ::core::module_path!(),
                "forecast",
            );
            use ::stampede_runtime::__private::parts::*;
            ::stampede_runtime::__private::Here::new(
                    &__SITE,
                    || {
                        ::stampede_runtime::__private::Options::new()
                            .ttl(::stampede_runtime::__private::Duration::new(300, 0))
                    },
                    ::stampede_runtime::__private::share!(Result < String, String >),
                )
                .board(
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(city),
                        ::stampede_runtime::__private::Nil,
                    ),
                )
        } {
            ::core::result::Result::Ok(kept) => return kept,
            ::core::result::Result::Err(boarding) => boarding,
        };
        boarding
            .fly(move || {
                let city = ::stampede_runtime::__private::own!(city);
                async move {
                    let city: &str = ::stampede_runtime::__private::Borrow::borrow(
                        &city,
                    );
                    #[allow(unreachable_code)]
                    if false {
                        let anchor: Result<String, String> = loop {};
                        return anchor;
                    }
                    #[allow(clippy::diverging_sub_expression, unused_braces)]
                    let output: Result<String, String> = {
                        Ok(format!("sunny in {city}"))
                    };
                    #[allow(unreachable_code)] return output;
                }
            })
            .await
    }
}
