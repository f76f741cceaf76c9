//! A server of one built page, for the machine it runs on alone.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use tiny_http::{Header, Method, Request, Response, Server};

use super::LeaderboardError;
use super::page::PageFile;
use korfinsts_base::fs;

/// A server that is listening.
pub struct PageServer {
    server: Server,
    files: Vec<PageFile>,
}

impl std::fmt::Debug for PageServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageServer")
            .field("files", &self.files.len())
            .finish_non_exhaustive()
    }
}

/// The files of a built page: those right in the folder, of the kinds a page has.
///
/// # Errors
/// When the folder cannot be listed, a file cannot be read, or there is no `index.html`.
pub fn files(folder: &Path) -> Result<Vec<PageFile>, LeaderboardError> {
    let mut files = Vec::new();
    for path in fs::list(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if kind(&name).is_some() && path.is_file() {
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
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let server = Server::http(address).map_err(|e| LeaderboardError::Listen {
            address: address.to_string(),
            reason: e.to_string(),
        })?;
        Ok(Self { server, files })
    }

    /// Where it listens: `http://127.0.0.1:PORT/`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://{}/", self.server.server_addr())
    }

    /// Answers one request.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn answer(&self) -> Result<(), LeaderboardError> {
        let request = self.server.recv().map_err(|e| LeaderboardError::Listen {
            address: self.address(),
            reason: e.to_string(),
        })?;
        // Whoever asked may be gone: that is no failure of the server.
        let _ = self.respond(request);
        Ok(())
    }

    fn respond(&self, request: Request) -> std::io::Result<()> {
        let path = request.url().split(['?', '#']).next().unwrap_or("/");
        let name = match path.trim_start_matches('/') {
            "" => "index.html",
            name => name,
        };
        let head = |key: &str, value: &str| {
            Header::from_bytes(key.as_bytes(), value.as_bytes()).expect("headers are ASCII")
        };
        // Another name that leads here is another site's doing.
        let host = request
            .headers()
            .iter()
            .find(|h| h.field.equiv("Host"))
            .map(|h| h.value.as_str().to_owned());
        let host = host
            .as_deref()
            .map(|h| h.rsplit_once(':').map_or(h, |(name, _)| name));
        let local = host.is_none_or(|h| matches!(h, "127.0.0.1" | "localhost"));
        let allowed = matches!(request.method(), Method::Get | Method::Head);
        // Only names that were read when the server began: no path is ever joined.
        let file = self.files.iter().find(|f| f.name == name);
        match file {
            _ if !local || !allowed => {
                let code = if local { 405 } else { 403 };
                request.respond(Response::from_string("not allowed\n").with_status_code(code))
            }
            Some(file) => request.respond(
                Response::from_string(file.content.clone())
                    .with_header(head(
                        "Content-Type",
                        kind(&file.name).unwrap_or("text/plain"),
                    ))
                    .with_header(head("X-Content-Type-Options", "nosniff"))
                    .with_header(head("Cache-Control", "no-store")),
            ),
            None => request.respond(Response::from_string("not found\n").with_status_code(404)),
        }
    }
}
