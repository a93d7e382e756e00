#[allow(clippy::manual_async_fn, refining_impl_trait)]
fn profile(
    user: &User,
    __argument_1: (u8, u8),
    note: Option<&str>,
) -> impl ::core::future::Future<Output = ()> + ::core::marker::Send {
    async move {
        #[allow(
            clippy::redundant_closure,
            clippy::redundant_closure_for_method_calls,
            clippy::used_underscore_binding
        )]
        let boarding = match {
            static __SITE: crate::renamed::__private::Site = crate::renamed::__private::Site::new(
                ::core::module_path!(),
                "profile",
            );
            crate::renamed::__private::Here::new(
                    &__SITE,
                    || crate::renamed::__private::Options::new(),
                    crate::renamed::__private::share!(()),
                )
                .board(
                    crate::renamed::__private::text(
                        ::core::format_args!(
                            "user:{}", ::core::format_args!("{}", user.id)
                        ),
                    ),
                )
        } {
            ::core::result::Result::Ok(kept) => return kept,
            ::core::result::Result::Err(boarding) => boarding,
        };
        boarding
            .fly(move || {
                let user = crate::renamed::__private::own!(user);
                let note = crate::renamed::__private::own_option(note);
                async move {
                    let user: &User = crate::renamed::__private::Borrow::borrow(&user);
                    #[allow(unused_mut)]
                    let mut whole = __argument_1;
                    let (a, b) = whole;
                    let note: Option<&str> = crate::renamed::__private::borrow_option(
                        &note,
                    );
                    #[allow(unreachable_code)]
                    if false {
                        let anchor: () = loop {};
                        return anchor;
                    }
                    #[allow(clippy::diverging_sub_expression, unused_braces)]
                    let output: () = {
                        render(user, a, b, note).await;
                    };
                    #[allow(unreachable_code)] return output;
                }
            })
            .await
    }
}
