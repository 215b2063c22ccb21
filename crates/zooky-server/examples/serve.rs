//! Serves a directory: `cargo run --example serve -- 127.0.0.1:2181 DIR`.

use zooky_server::{Config, FourLetterWords, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(listen), Some(dir)) = (args.next(), args.next()) else {
        return Err("usage: serve ADDRESS DIRECTORY".into());
    };
    let mut config = Config::new(listen.parse()?, dir);
    config.four_letter_words = FourLetterWords::All;
    let server = Server::start(config)?;
    println!("serving at {}", server.addr());
    Ok(server.wait()?)
}
