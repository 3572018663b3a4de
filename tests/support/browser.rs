//! Opens a page in headless Chromium: serves files on the loopback interface, waits for the page's post to `/result`, and ends the browser.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A file of the page: path, type, content.
pub type File<'a> = (&'a str, &'a str, &'a str);

/// Returns the path of Chromium under one of its usual names.
pub fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
}

/// Opens the page at `/` of `files` and returns the text that it posts to `/result`.
pub fn run(program: PathBuf, files: &[File<'_>], limit: Duration) -> Result<String> {
    let deadline = Instant::now() + limit;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let mut browser = Browser::open(program, &format!("http://{}/", listener.local_addr()?))?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                // The browser retries broken connections; otherwise the wait for the result times out.
                if let Ok(Some(result)) = answer(stream, files) {
                    return Ok(result);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if let Some(status) = browser.child.try_wait()? {
            return Err(Error::other(format!("the browser ended by itself, with {status}")));
        }
        if Instant::now() > deadline {
            let message = format!("no result after {} s; the browser was killed", limit.as_secs());
            return Err(Error::new(ErrorKind::TimedOut, message));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Answers one request. Returns the text of a post to `/result`.
fn answer(stream: TcpStream, files: &[File<'_>]) -> Result<Option<String>> {
    stream.set_nonblocking(false)?;
    // Browsers preconnect: such connections carry no request.
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut reader = BufReader::new(&stream);
    let (mut request, mut length) = (String::new(), 0);
    match reader.read_line(&mut request) {
        Ok(n) if n > 0 => {}
        _ => return Ok(None),
    }
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(|_| Error::other("the length is not a number"))?;
        }
    }
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let path = request.split_whitespace().nth(1).unwrap_or("/");
    let respond = |status: &str, kind: &str, content: &str| {
        let length = content.len();
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close");
        (&stream).write_all(format!("{head}\r\n\r\n{content}").as_bytes())
    };
    if path == "/result" {
        respond("200 OK", "text/plain", "")?;
        return Ok(Some(String::from_utf8_lossy(&body).into_owned()));
    }
    match files.iter().find(|(name, ..)| *name == path) {
        Some((_, kind, content)) => respond("200 OK", kind, content)?,
        None => respond("404 Not Found", "text/plain", "")?,
    }
    Ok(None)
}

/// The browser process and its profile; dropping this ends the process and removes the profile.
struct Browser {
    child: Child,
    profile: Option<tempfile::TempDir>,
}

impl Browser {
    fn open(program: PathBuf, url: &str) -> Result<Self> {
        let profile = tempfile::tempdir()?;
        let child = Command::new(program)
            .args(["--headless", "--no-sandbox", "--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync", "--disable-quic"])
            .args(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, profile: Some(profile) })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The browser's child processes write to the profile for a moment after it has ended.
        let Some(profile) = self.profile.take() else { return };
        let path = profile.keep();
        for _ in 0..30 {
            std::thread::sleep(Duration::from_millis(100));
            if std::fs::remove_dir_all(&path).is_ok() {
                return;
            }
        }
    }
}
