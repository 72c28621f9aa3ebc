//! A raw HTTP/1.1 client: what it is told to send goes out byte for byte, and what comes back is given as it stands.
//!
//! Nothing is normalised: no path is cleaned, no header added but `Host` and `Connection`, no redirect followed, and a
//! body that breaks off is no error but a fact about the answer.

use std::{
    fmt::Write as _,
    io::{self, BufRead, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Longest time without a byte.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest body that is read, in bytes.
const MAX_BODY: usize = 256 << 20;
/// Longest line of a head, in bytes.
const MAX_LINE: u64 = 64 << 10;
/// Bytes of a text body that a description shows.
const SHOWN: usize = 400;

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The target: a path with its query, a whole URL, or `host:port` with CONNECT.
    pub target: String,
    /// The `Host` header; `None`: the address that is connected to.
    pub host: Option<String>,
    /// Further headers, in order.
    pub headers: Vec<(String, String)>,
    /// `1.1`, or `1.0`.
    pub version: &'static str,
    /// Whether the connection shall stay open. Else it is read to its end, so that bytes after a response are noticed.
    pub keep: bool,
}

impl Request {
    /// A request without headers of its own, on a connection for itself.
    pub fn new(method: &str, target: impl Into<String>) -> Self {
        Self {
            method: method.to_owned(),
            target: target.into(),
            host: None,
            headers: Vec::new(),
            version: "1.1",
            keep: false,
        }
    }

    /// With a host.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// With a header more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// What goes over the wire to `address`.
    pub fn encode(&self, address: SocketAddr) -> String {
        let host = self.host.clone().unwrap_or_else(|| address.to_string());
        let mut text = format!("{} {} HTTP/{}\r\nHost: {host}\r\n", self.method, self.target, self.version);
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text.push_str(if self.keep { "\r\n" } else { "Connection: close\r\n\r\n" });
        text
    }
}

/// A response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// The status.
    pub status: u16,
    /// Headers as they came, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; of an answer to HEAD, and of 204 and 304, whatever came where there must be nothing.
    pub body: Vec<u8>,
    /// Trailers, names in lower case.
    pub trailers: Vec<(String, String)>,
    /// Whether the body came whole.
    pub whole: bool,
}

impl Response {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All values of a header, joined by commas as one would write them on one line.
    pub fn joined(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// Whether a header that is a list has an item, whatever its letters' case.
    pub fn lists(&self, name: &str, item: &str) -> bool {
        self.joined(name).is_some_and(|list| list.split(',').any(|i| i.trim().eq_ignore_ascii_case(item)))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Status, headers and the beginning of the body, for messages.
    pub fn describe(&self) -> String {
        let mut text = format!("{} {}\n", self.version, self.status);
        for (name, value) in self.headers.iter().chain(&self.trailers) {
            let _ = writeln!(text, "{name}: {value}");
        }
        let end = if self.whole { "" } else { ", which breaks off" };
        let shown = String::from_utf8_lossy(&self.body[..self.body.len().min(SHOWN)]).escape_debug().to_string();
        let _ = write!(text, "body of {} bytes{end}: {shown}", self.body.len());
        text
    }

    /// Whether an answer with this status, or to this method, has no body.
    fn bare(&self, method: &str) -> bool {
        method == "HEAD" || matches!(self.status, 100..=199 | 204 | 304)
    }
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), address })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())
    }

    /// Says that nothing more will be sent.
    pub fn finish(&self) {
        // Who closed already needs not be told.
        let _ = self.stream.get_ref().shutdown(std::net::Shutdown::Write);
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// When there is no whole head of an answer.
    pub fn send(&mut self, request: &Request) -> io::Result<Response> {
        // A server may answer before it has read all, and close.
        let written = self.write(request.encode(self.address));
        let response = self.head().map_err(|error| written.err().unwrap_or(error))?;
        // The answer to a CONNECT that succeeds is the tunnel.
        if request.method == "CONNECT" && response.status / 100 == 2 {
            return Ok(Response { whole: true, ..response });
        }
        self.body(response, &request.method, request.keep)
    }

    /// Reads the answer to a request with this method.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn read(&mut self, method: &str) -> io::Result<Response> {
        let response = self.head()?;
        self.body(response, method, true)
    }

    /// Whether the other side has closed the connection.
    ///
    /// # Errors
    /// When that does not become clear in time.
    pub fn closed(&mut self) -> io::Result<bool> {
        match self.stream.fill_buf() {
            Ok(bytes) => Ok(bytes.is_empty()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn head(&mut self) -> io::Result<Response> {
        loop {
            let first = self.line()?;
            let mut parts = first.split(' ');
            let version = parts.next().unwrap_or_default().to_owned();
            let status = parts.next().and_then(|s| s.parse().ok());
            let status = status.ok_or_else(|| io::Error::other(format!("no status in {first:?}")))?;
            let headers = self.fields()?;
            if !(100..200).contains(&status) {
                return Ok(Response { version, status, headers, ..Response::default() });
            }
        }
    }

    fn body(&mut self, mut response: Response, method: &str, keep: bool) -> io::Result<Response> {
        if response.bare(method) {
            response.whole = true;
            if !keep {
                match self.all(&mut response.body) {
                    Err(error) if !broken(&error) => return Err(error),
                    _ => {}
                }
            }
            return Ok(response);
        }
        let read = if response.lists("transfer-encoding", "chunked") {
            self.chunks(&mut response)
        } else if let Some(len) = response.header("content-length") {
            let len: usize = len.parse().map_err(|_| io::Error::other(format!("Content-Length: {len}")))?;
            self.exactly(len, &mut response.body)
        } else {
            self.all(&mut response.body)
        };
        response.whole = match read {
            Ok(()) => true,
            Err(error) if broken(&error) => false,
            Err(error) => return Err(error),
        };
        Ok(response)
    }

    fn chunks(&mut self, response: &mut Response) -> io::Result<()> {
        loop {
            let size = self.line()?;
            let digits = size.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16).map_err(|_| io::Error::other(format!("chunk {size:?}")))?;
            if size == 0 {
                response.trailers = self.fields()?;
                return Ok(());
            }
            self.exactly(size, &mut response.body)?;
            self.line()?;
        }
    }

    /// Reads so many bytes; what came before a break is kept.
    fn exactly(&mut self, len: usize, into: &mut Vec<u8>) -> io::Result<()> {
        if into.len() + len > MAX_BODY {
            return Err(io::Error::other("a body beyond all measure"));
        }
        let read = (&mut self.stream).take(len as u64).read_to_end(into)?;
        if read < len { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn all(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        (&mut self.stream).take(MAX_BODY as u64).read_to_end(into).map(drop)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        (&mut self.stream).take(MAX_LINE).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn fields(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| io::Error::other(format!("no header: {line:?}")))?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
}

/// Whether the connection ended where it should not have.
fn broken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}

/// Sends one request on a connection of its own.
///
/// # Errors
/// When there is no whole head of an answer.
pub fn send(address: SocketAddr, request: &Request) -> io::Result<Response> {
    Client::connect(address)?.send(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::TcpListener, thread};

    /// What a server that says this is understood as.
    fn answered(method: &'static str, says: &'static [u8]) -> Response {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut head = BufReader::new(stream.try_clone().expect("a socket"));
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                head.read_line(&mut line).expect("a line");
            }
            stream.write_all(says).expect("a reader");
        });
        let response = send(address, &Request::new(method, "/")).expect("an answer");
        server.join().expect("it ends");
        response
    }

    #[test]
    fn bodies_end_where_their_framing_says() {
        let response = answered("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nA: 1\r\na: 2\r\n\r\nabcd");
        assert_eq!((response.status, response.text().as_str(), response.whole), (200, "abc", true));
        assert_eq!(response.joined("a").as_deref(), Some("1, 2"));
        assert!(response.lists("a", "2") && !response.lists("a", "3"));
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: v\r\n\r\n";
        let response = answered("GET", chunked);
        assert_eq!((response.text().as_str(), response.whole), ("abcde", true));
        assert_eq!(response.trailers, [("t".to_owned(), "v".to_owned())]);
        assert_eq!(answered("GET", b"HTTP/1.0 200 OK\r\n\r\nto the end").text(), "to the end");
    }

    #[test]
    fn a_body_that_breaks_off_is_kept_and_said() {
        let response = answered("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
        assert_eq!((response.text().as_str(), response.whole), ("abc", false));
        let response = answered("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        assert_eq!((response.text().as_str(), response.whole), ("abc", false));
    }

    #[test]
    fn bytes_after_an_answer_without_a_body_are_noticed() {
        assert_eq!(answered("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").text(), "");
        assert_eq!(answered("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc").text(), "abc");
        assert_eq!(answered("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 x\r\n\r\nabc").text(), "abc");
    }
}
