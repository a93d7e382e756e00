use stampede_runtime::coalesce_by_content;

#[coalesce_by_content(fields = [request.model()])]
async fn ask(request: String) -> String {
    request
}

fn main() {}
