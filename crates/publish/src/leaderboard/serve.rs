//! A server of one built page, for the machine it runs on alone.
//!
//! It answers `GET` and `HEAD` of files that were read when it began, and reads no body. What a client may
//! take is bounded: bytes of a request, time, and connections at once.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::LeaderboardError;
use super::page::PageFile;
use korfinsts_base::fs;

/// Longest head of a request, in bytes.
const LONGEST_HEAD: usize = 16 << 10;
/// Time for a request, and for its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections at once; further ones wait.
const CONNECTIONS: usize = 16;
/// Wait before the next look for a free connection or descriptor.
const PAUSE: Duration = Duration::from_millis(20);

/// A server that is listening.
#[derive(Debug)]
pub struct PageServer {
    listener: TcpListener,
    address: SocketAddr,
    files: Arc<Vec<PageFile>>,
    open: Arc<AtomicUsize>,
}

/// The files of a built page: those right in the folder, of the kinds a page has. Hidden files and links are
/// no part of one.
///
/// # Errors
/// When the folder cannot be listed, a file cannot be read, or there is no `index.html`.
pub fn files(folder: &Path) -> Result<Vec<PageFile>, LeaderboardError> {
    let mut files = Vec::new();
    for path in fs::list(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let own = !name.starts_with('.') && !path.is_symlink() && path.is_file();
        if own && kind(&name).is_some() {
            let content = fs::read(&path)?;
            files.push(PageFile {
                name: name.into_owned(),
                content: String::from_utf8_lossy(&content).into_owned(),
            });
        }
    }
    if !files.iter().any(|f| f.name == "index.html") {
        return Err(LeaderboardError::Empty {
            reason: format!("`{}` holds no `index.html`", folder.display()),
            hint: "`korfinsts leaderboard build -o DIR` makes a page",
        });
    }
    Ok(files)
}

fn kind(name: &str) -> Option<&'static str> {
    let (_, end) = name.rsplit_once('.')?;
    Some(match end {
        "html" => "text/html; charset=utf-8",
        "json" => "application/json",
        "csv" => "text/csv; charset=utf-8",
        "md" | "tex" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

impl PageServer {
    /// Listens on a loopback port; 0 takes a free one.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub fn listen(port: u16, files: Vec<PageFile>) -> Result<Self, LeaderboardError> {
        let wanted = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let failed = |e: io::Error| LeaderboardError::Listen {
            address: wanted.to_string(),
            reason: e.to_string(),
        };
        let listener = TcpListener::bind(wanted).map_err(failed)?;
        Ok(Self {
            address: listener.local_addr().map_err(failed)?,
            listener,
            files: Arc::new(files),
            open: Arc::default(),
        })
    }

    /// Where it listens: `http://127.0.0.1:PORT/`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Takes one connection and answers its request in a thread. A connection that fails, or for which
    /// there is no descriptor, is no failure of the server.
    pub fn answer(&self) {
        while self.open.load(Ordering::Acquire) >= CONNECTIONS {
            std::thread::sleep(PAUSE);
        }
        let Ok((stream, _)) = self.listener.accept() else {
            std::thread::sleep(PAUSE);
            return;
        };
        let (files, open) = (Arc::clone(&self.files), Arc::clone(&self.open));
        open.fetch_add(1, Ordering::AcqRel);
        let counted = Arc::clone(&self.open);
        let thread = std::thread::Builder::new().spawn(move || {
            // Whoever asked may be gone.
            let _ = serve(stream, &files);
            open.fetch_sub(1, Ordering::AcqRel);
        });
        if thread.is_err() {
            counted.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn serve(mut stream: TcpStream, files: &[PageFile]) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let answer = match head(&mut stream)? {
        Some(head) => respond(&head, files),
        None => plain(
            "431 Request Header Fields Too Large",
            "the request is too long\n",
        ),
    };
    stream.write_all(&answer)?;
    stream.shutdown(Shutdown::Write)?;
    // What a client still sends is taken from it for a moment: a connection that is closed before may
    // lose the answer.
    stream.set_read_timeout(Some(PAUSE))?;
    io::copy(&mut stream.take(LONGEST_HEAD as u64), &mut io::sink())?;
    Ok(())
}

/// The head of a request as text; `None` where it is too long.
fn head(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let begun = Instant::now();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        if bytes.len() > LONGEST_HEAD {
            return Ok(None);
        }
        let left = PATIENCE.checked_sub(begun.elapsed());
        let left = left.filter(|left| !left.is_zero());
        stream.set_read_timeout(Some(left.ok_or(io::ErrorKind::TimedOut)?))?;
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The answer to a request.
fn respond(head: &str, files: &[PageFile]) -> Vec<u8> {
    let mut lines = head.split("\r\n");
    let mut request = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (request.next(), request.next().unwrap_or("/"));
    let host = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim())
    });
    let host = host.map(|h| h.rsplit_once(':').map_or(h, |(name, _)| name));
    // Another name that leads here is another site's doing.
    if !host.is_none_or(|h| matches!(h, "127.0.0.1" | "localhost")) {
        return plain("403 Forbidden", "not allowed\n");
    }
    if !matches!(method, Some("GET" | "HEAD")) {
        return plain("405 Method Not Allowed", "not allowed\n");
    }
    let path = target.split(['?', '#']).next().unwrap_or("/");
    let name = match path.trim_start_matches('/') {
        "" => "index.html",
        name => name,
    };
    // Only names that were read when the server began: no path is ever joined.
    let Some(file) = files.iter().find(|f| f.name == name) else {
        return plain("404 Not Found", "not found\n");
    };
    let kind = kind(&file.name).unwrap_or("text/plain");
    let whole = answer("200 OK", kind, &file.content);
    match method {
        Some("HEAD") => whole[..whole.len() - file.content.len()].to_vec(),
        _ => whole,
    }
}

fn plain(status: &str, text: &str) -> Vec<u8> {
    answer(status, "text/plain; charset=utf-8", text)
}

fn answer(status: &str, kind: &str, content: &str) -> Vec<u8> {
    let length = content.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{content}"
    )
    .into_bytes()
}
