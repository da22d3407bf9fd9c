//! The cheapest possible client and server, so that they measure the edge and not themselves.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::ExitCode,
};

/// Gets a path over a connection that stays open, and throws the bytes away; their number.
pub(crate) fn get(stream: &mut TcpStream, path: &str, buffer: &mut [u8]) -> io::Result<u64> {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let mut head = Vec::new();
    let length = loop {
        let read = stream.read(buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&buffer[..read]);
        if let Some(end) = head.windows(4).position(|w| w == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&head[..end]).to_ascii_lowercase();
            assert!(text.starts_with("http/1.1 200"), "{text}");
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: u64 = length.expect("a length").parse().expect("a number");
            break length - (head.len() - end - 4) as u64;
        }
    };
    let mut rest = length;
    while rest > 0 {
        match stream.read(buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => rest -= read as u64,
        }
    }
    Ok(length)
}

/// A process that serves one file to whoever asks for anything, by `sendfile`, and verifies nothing. The port goes to standard
/// output. It ends when standard input does.
pub(crate) fn serve_plainly(file: &Path) -> ExitCode {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    writeln!(io::stdout(), "{port}").expect("somebody reads it");
    let file = file.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let file = file.clone();
            std::thread::spawn(move || answer(stream, &file));
        }
    });
    let _closed = io::copy(&mut io::stdin(), &mut io::sink());
    ExitCode::SUCCESS
}

fn answer(mut stream: TcpStream, path: &Path) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut requests = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    loop {
        line.clear();
        if requests.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line == "\r\n" {
            let mut file = File::open(path)?;
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", file.metadata()?.len())?;
            // On Linux, this is `sendfile`.
            io::copy(&mut file, &mut stream)?;
        }
    }
}
