use stampede_runtime::coalesce_by_content;

#[derive(Clone)]
struct Request {
    model: String,
}

#[coalesce_by_content(fields = [request.modell])]
async fn ask(request: Request) -> String {
    request.model
}

fn main() {}
