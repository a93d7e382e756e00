use stampede_runtime::invalidates;

#[invalidates]
async fn nothing(id: u64) -> Result<(), std::io::Error> {
    let _ = id;
    Ok(())
}

#[invalidates(tags())]
async fn no_tag(id: u64) -> Result<(), std::io::Error> {
    let _ = id;
    Ok(())
}

#[invalidates(tags = "user:{id}")]
async fn no_list(id: u64) -> Result<(), std::io::Error> {
    let _ = id;
    Ok(())
}

#[invalidates(tag("user:{id}"))]
async fn in_other_words(id: u64) -> Result<(), std::io::Error> {
    let _ = id;
    Ok(())
}

fn main() {}
