/// The body may go on without its caller, so it owns its arguments.
pub fn render(page: &Page, depth: u32) -> Result<String, Error> {
    #[allow(
        clippy::redundant_closure,
        clippy::redundant_closure_for_method_calls,
        clippy::used_underscore_binding
    )]
    let boarding = match {
        static __SITE: ::stampede_runtime::__private::Site = ::stampede_runtime::__private::Site::new(
            ::core::module_path!(),
            "render",
        );
        use ::stampede_runtime::__private::parts::*;
        ::stampede_runtime::__private::Here::new(
                &__SITE,
                || {
                    ::stampede_runtime::__private::Options::new()
                        .ttl(HOUR)
                        .early(2.0)
                        .timeout(::stampede_runtime::__private::Duration::new(5, 0))
                        .blocking()
                },
                ::stampede_runtime::__private::share!(Result < String, Error >),
            )
            .refuse(::stampede_runtime::__private::refuse)
            .board(
                ::stampede_runtime::__private::Cons(
                    ::stampede_runtime::__private::part!(page),
                    ::stampede_runtime::__private::Cons(
                        ::stampede_runtime::__private::part!(& depth),
                        ::stampede_runtime::__private::Nil,
                    ),
                ),
            )
    } {
        ::core::result::Result::Ok(kept) => return kept,
        ::core::result::Result::Err(boarding) => boarding,
    };
    boarding
        .run_detached(move || {
            let page = ::stampede_runtime::__private::own!(page);
            move || -> Result<String, Error> {
                let page: &Page = ::stampede_runtime::__private::Borrow::borrow(&page);
                let mut depth = depth;
                #[allow(clippy::diverging_sub_expression, unused_braces)]
                let output: Result<String, Error> = {
                    depth += 1;
                    engine::render(page, depth)
                };
                #[allow(unreachable_code)] return output;
            }
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
            static __SITE: ::stampede_runtime::__private::Site = ::stampede_runtime::__private::Site::new(
                ::core::module_path!(),
                "row",
            );
            use ::stampede_runtime::__private::parts::*;
            ::stampede_runtime::__private::Here::new(
                    &__SITE,
                    || {
                        ::stampede_runtime::__private::Options::new()
                            .ttl(::stampede_runtime::__private::Duration::new(60, 0))
                            .stale(::stampede_runtime::__private::Duration::new(10, 0))
                            .blocking()
                    },
                    ::stampede_runtime::__private::share!(Option < Row >),
                )
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
            .run_detached(move || {
                let this = ::stampede_runtime::__private::own_self(self);
                move || -> Option<Row> {
                    let this = &this;
                    #[allow(clippy::diverging_sub_expression, unused_braces)]
                    let output: Option<Row> = { this.rows.get(at).cloned() };
                    #[allow(unreachable_code)] return output;
                }
            })
    }
}
