use stampede_runtime::coalesce;

#[coalesce(skip(_buffer), attached)]
async fn load(_id: u64, _buffer: &mut Vec<u8>) {}

#[coalesce(skip(_buffer), attached)]
async fn optional(_id: u64, _buffer: Option<&mut [u8]>) {}

fn main() {}
