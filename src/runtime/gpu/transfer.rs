//! Uploads of a step through a ring of mapped buffers, and read-backs through a pool.

use super::super::engine::Download;
use super::context::{Context, lost, poll_once, wait};
use crate::error::Result;
use futures::{FutureExt, channel::oneshot};
use std::sync::{Arc, Mutex, PoisonError};
use web_time::Instant;

/// Maximum number of steps in flight: uploads for the next step are written while a step runs.
const IN_FLIGHT: usize = 2;

type Mapped = oneshot::Receiver<std::result::Result<(), wgpu::BufferAsyncError>>;

/// Mapped buffers that are written in rotation. Each is mapped again when the step that read it is done, which bounds the steps in flight.
#[derive(Default)]
pub struct UploadRing {
    pieces: Vec<Staging>,
    next: usize,
}

struct Staging {
    buffer: wgpu::Buffer,
    mapped: Option<Mapped>,
    /// Signalled when all submissions of its step are done.
    done: Option<oneshot::Receiver<()>>,
    submission: Option<wgpu::SubmissionIndex>,
    submitted: Instant,
    /// Index of the recording that the upload was for, and estimated seconds of the work submitted with it.
    played: (usize, f64),
}

/// The measured duration of an earlier play.
pub struct Measured {
    /// Index of the recording.
    pub recording: usize,
    /// Estimated seconds.
    pub estimated: f64,
    /// Measured seconds; an upper bound if the host did not wait for the end.
    pub seconds: f64,
    /// Whether the host waited for the end of the play.
    pub waited: bool,
}

impl UploadRing {
    /// Creates a ring for uploads of at most `bytes` bytes.
    pub async fn new(cx: &mut Context, bytes: u64) -> Result<Self> {
        let mut pieces = Vec::new();
        for _ in 0..IN_FLIGHT {
            let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
            let buffer = cx.buffer("staging", bytes, usage).await?;
            let (mapped, done, submission) = (None, None, None);
            pieces.push(Staging { buffer, mapped, done, submission, submitted: Instant::now(), played: (0, 0.0) });
        }
        Ok(Self { pieces, next: 0 })
    }

    /// Returns the bytes of its buffers.
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.buffer.size()).sum()
    }

    /// Writes bytes to the next buffer, and encodes the copies to their destinations. Returns the buffer's index in the ring, and the
    /// duration of the play that used it before.
    pub async fn write(
        &mut self,
        cx: &mut Context,
        encoder: &mut wgpu::CommandEncoder,
        pieces: &[(&[u8], wgpu::Buffer)],
    ) -> Result<(usize, Option<Measured>)> {
        let bytes: usize = pieces.iter().map(|(bytes, _)| bytes.len()).sum();
        let (at, earlier) = self.take(cx).await?;
        let staging = &self.pieces[at].buffer;
        {
            let view = staging.get_mapped_range_mut(..bytes as u64);
            let mut view = view.map_err(|e| cx.failed("uploading a batch", e.to_string()))?;
            let mut offset = 0;
            for (bytes, to) in pieces {
                view.slice(offset..offset + bytes.len()).copy_from_slice(bytes);
                encoder.copy_buffer_to_buffer(staging, offset as u64, to, 0, bytes.len() as u64);
                offset += bytes.len();
            }
        }
        staging.unmap();
        Ok((at, earlier))
    }

    /// Registers that all work which reads the buffer was submitted; `submission` is the last submission, `played` the recording and the
    /// estimated seconds. The buffer is mapped and reused when that work is done.
    pub fn submitted(&mut self, cx: &Context, at: usize, played: (usize, f64), submission: wgpu::SubmissionIndex) {
        let (send, receive) = oneshot::channel();
        // The receiver may have been dropped together with the buffer.
        self.pieces[at].buffer.map_async(wgpu::MapMode::Write, .., move |result| drop(send.send(result)));
        let (all, done) = oneshot::channel();
        cx.queue.on_submitted_work_done(move || all.send(()).unwrap_or_default());
        let piece = &mut self.pieces[at];
        (piece.mapped, piece.done) = (Some(receive), Some(done));
        (piece.submission, piece.submitted, piece.played) = (Some(submission), Instant::now(), played);
    }

    /// Returns the next buffer, mapped.
    async fn take(&mut self, cx: &Context) -> Result<(usize, Option<Measured>)> {
        const DOING: &str = "playing a step";
        let at = self.next;
        self.next = (at + 1) % IN_FLIGHT;
        let mut earlier = None;
        let piece = &mut self.pieces[at];
        if let (Some(mapped), Some(mut done)) = (piece.mapped.take(), piece.done.take()) {
            let failed = |message: String| lost(&cx.info.name, DOING, message);
            poll_once(&cx.device);
            let waited = done.try_recv().map_err(|e| failed(e.to_string()))?.is_none();
            if waited {
                wait(&cx.device, &cx.info.name, piece.submission.clone(), DOING)?;
                done.await.map_err(|e| failed(e.to_string()))?;
            }
            // With two steps in flight, each took about half of the time from its submission to its end.
            let elapsed = piece.submitted.elapsed().as_secs_f64();
            let seconds = if waited { elapsed / IN_FLIGHT as f64 } else { elapsed };
            let (recording, estimated) = piece.played;
            earlier = Some(Measured { recording, estimated, seconds, waited });
            mapped.await.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))?;
        }
        Ok((at, earlier))
    }
}

/// Pool of read-back buffers, which are reused after they were read. Buffers above `LARGEST_KEPT`, such as those of whole models, are
/// dropped: they are rare and large.
#[derive(Clone, Default)]
pub struct ReadBacks(Arc<Mutex<Pool>>);

/// Maximum size in bytes of a buffer that is kept for reuse.
const LARGEST_KEPT: u64 = 1 << 20;

#[derive(Default)]
struct Pool {
    free: Vec<wgpu::Buffer>,
    /// Bytes of all buffers, including those in transfer.
    bytes: u64,
}

impl ReadBacks {
    /// Copies the first bytes of buffers to the host, after all work submitted so far.
    pub fn copy_out(&self, cx: &mut Context, pieces: &[(wgpu::Buffer, u64)]) -> Result<Download> {
        const DOING: &str = "reading back";
        cx.check_device(DOING)?;
        let bytes: u64 = pieces.iter().map(|(_, bytes)| bytes).sum();
        let buffer = self.take(cx, bytes);
        let mut encoder = cx.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut offset = 0;
        for (from, bytes) in pieces {
            encoder.copy_buffer_to_buffer(from, 0, &buffer, offset, *bytes);
            offset += bytes;
        }
        let submission = cx.submit(encoder);
        let (send, receive) = oneshot::channel();
        buffer.map_async(wgpu::MapMode::Read, ..bytes, move |result| drop(send.send(result)));
        let sizes: Vec<usize> = pieces.iter().map(|(_, bytes)| *bytes as usize / 4).collect();
        let (pool, device, name) = (self.clone(), cx.device.clone(), cx.info.name.clone());
        let read = async move {
            let failed = |message: String| lost(&name, DOING, message);
            wait(&device, &name, Some(submission), DOING)?;
            receive.await.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))?;
            let words: Vec<u32> = {
                let view = buffer.get_mapped_range(..bytes).map_err(|e| failed(e.to_string()))?;
                bytemuck::pod_collect_to_vec(&view)
            };
            buffer.unmap();
            pool.give(buffer);
            let mut rest = &words[..];
            let piece = |size: usize| rest.split_off(..size).expect("the buffer holds all pieces").to_vec();
            Ok(sizes.into_iter().map(piece).collect())
        };
        Ok(read.boxed_local())
    }

    /// Returns the bytes of its buffers, free or in transfer.
    pub fn bytes(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    fn give(&self, buffer: wgpu::Buffer) {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.size() <= LARGEST_KEPT {
            pool.free.push(buffer);
        } else {
            pool.bytes -= buffer.size();
        }
    }

    /// Returns the smallest free buffer that is large enough, or a new one.
    fn take(&self, cx: &mut Context, bytes: u64) -> wgpu::Buffer {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = pool.free.iter();
        let fits = free.enumerate().filter(|(_, b)| b.size() >= bytes).min_by_key(|(_, b)| b.size()).map(|(at, _)| at);
        if let Some(at) = fits {
            return pool.free.swap_remove(at);
        }
        pool.bytes += bytes;
        cx.stats.allocations += 1;
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let descriptor =
            wgpu::BufferDescriptor { label: Some("read-back"), size: bytes, usage, mapped_at_creation: false };
        cx.device.create_buffer(&descriptor)
    }
}
