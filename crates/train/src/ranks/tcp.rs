//! Ranks that meet over TCP, on one machine or several: rank 0 listens, the others hold one
//! connection to it. Rank 0 sums in the order of the ranks and sends the sum back, so that sums
//! are the same bits on every rank and in every run. Nothing is encrypted: for machines that
//! trust each other.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs as _};
use std::thread::sleep;
use std::time::{Duration, Instant};

use candle_core::Tensor;

use super::Ranks;
use crate::TrainError;
use crate::error::computing;

/// How long ranks wait for each other at the start.
pub const PATIENCE: Duration = Duration::from_mins(2);

const MAGIC: [u8; 8] = *b"korfin-2";
const DATA: u8 = 0;
const FAILED: u8 = 1;
/// Bytes that are turned into numbers at once.
const PART: usize = 1 << 16;

/// One process of several.
#[derive(Debug)]
pub struct Tcp {
    rank: usize,
    /// To every other rank at rank 0, in their order; to rank 0 elsewhere.
    peers: Vec<TcpStream>,
    count: usize,
}

fn lost(rank: usize, error: &std::io::Error) -> TrainError {
    let reason = match error.kind() {
        std::io::ErrorKind::UnexpectedEof
        | std::io::ErrorKind::ConnectionReset
        | std::io::ErrorKind::BrokenPipe => "it went away: its connection was closed".into(),
        _ => format!("its connection failed: {error}"),
    };
    TrainError::Rank { rank, reason }
}

fn send(stream: &mut TcpStream, kind: u8, bytes: &[u8]) -> std::io::Result<()> {
    let mut head = [0; 9];
    head[0] = kind;
    head[1..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
    stream.write_all(&head)?;
    stream.write_all(bytes)
}

/// Sends why this end closes, and reads what still arrives: a connection that is closed with
/// unread bytes loses what was sent last. A rank that cannot be reached is gone as well.
fn send_last(stream: &mut TcpStream, text: &str) {
    let said = send(stream, FAILED, text.as_bytes())
        .and_then(|()| stream.shutdown(Shutdown::Write))
        .and_then(|()| stream.set_read_timeout(Some(Duration::from_secs(2))));
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut rest = vec![0; PART];
    while said.is_ok() && Instant::now() < deadline {
        match stream.read(&mut rest) {
            Ok(n) if n > 0 => {}
            _ => break,
        }
    }
}

fn send_values(stream: &mut TcpStream, values: &[f32]) -> std::io::Result<()> {
    let mut head = [0; 9];
    head[0] = DATA;
    head[1..].copy_from_slice(&(4 * values.len() as u64).to_le_bytes());
    stream.write_all(&head)?;
    let mut bytes = Vec::with_capacity(PART);
    for part in values.chunks(PART / 4) {
        bytes.clear();
        bytes.extend(part.iter().flat_map(|v| v.to_le_bytes()));
        stream.write_all(&bytes)?;
    }
    Ok(())
}

fn float32(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// Reads one message's bytes and gives them to `take`, some at a time. `from` is named when it
/// went away; a message of failure names who failed.
fn receive(
    stream: &mut TcpStream,
    from: usize,
    mut take: impl FnMut(&[u8]),
) -> Result<(), TrainError> {
    let mut head = [0; 9];
    let mut read = |bytes: &mut [u8]| stream.read_exact(bytes).map_err(|e| lost(from, &e));
    read(&mut head)?;
    let [kind, length @ ..] = head;
    let length = u64::from_le_bytes(length);
    if kind == FAILED {
        let mut text = vec![0; length.min(4096) as usize];
        read(&mut text)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let (rank, reason) = text.split_once('\n').unwrap_or(("", &text));
        return Err(TrainError::Rank {
            rank: rank.parse().unwrap_or(from),
            reason: reason.to_owned(),
        });
    }
    if kind != DATA || length > LONGEST {
        return Err(TrainError::Rank {
            rank: from,
            reason: format!("it sent a message of kind {kind} and {length} bytes"),
        });
    }
    let mut buffer = vec![0; PART.min(length as usize)];
    let mut left = length as usize;
    while left > 0 {
        let part = &mut buffer[..left.min(PART)];
        read(part)?;
        take(part);
        left -= part.len();
    }
    Ok(())
}

/// Longest message in bytes: 16 GiB.
const LONGEST: u64 = 1 << 34;

impl Tcp {
    /// Meets the other ranks at `meet` (`HOST:PORT`), where rank 0 listens.
    ///
    /// # Errors
    /// When the address is none, or a rank does not come, comes twice or counts other ranks.
    pub fn meet(
        rank: usize,
        count: usize,
        meet: &str,
        patience: Duration,
    ) -> Result<Self, TrainError> {
        let deadline = Instant::now() + patience;
        let peers = if rank == 0 {
            listen(count, meet, deadline)?
        } else {
            vec![call(rank, count, meet, deadline)?]
        };
        Ok(Self { rank, peers, count })
    }

    fn peer(&self, index: usize) -> usize {
        if self.rank == 0 { index + 1 } else { 0 }
    }

    /// Tells every other rank who failed.
    fn spread(&mut self, error: TrainError) -> TrainError {
        if let TrainError::Rank { rank, reason } = &error {
            let text = format!("{rank}\n{reason}");
            for index in 0..self.peers.len() {
                if self.peer(index) != *rank {
                    send_last(&mut self.peers[index], &text);
                }
            }
        }
        error
    }

    fn talk<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<T, TrainError>,
    ) -> Result<T, TrainError> {
        run(self).map_err(|e| self.spread(e))
    }

    fn bytes_from(&mut self, index: usize) -> Result<Vec<u8>, TrainError> {
        let mut found = Vec::new();
        let from = self.peer(index);
        receive(&mut self.peers[index], from, |bytes| found.extend(bytes))?;
        Ok(found)
    }

    /// Sends to a peer.
    fn tell(
        &mut self,
        index: usize,
        send: impl FnOnce(&mut TcpStream) -> std::io::Result<()>,
    ) -> Result<(), TrainError> {
        let to = self.peer(index);
        match send(&mut self.peers[index]) {
            Ok(()) => Ok(()),
            Err(error) => Err(match self.bytes_from(index) {
                // The reason it sent before it closed says more.
                Err(said) => said,
                Ok(_) => lost(to, &error),
            }),
        }
    }

    fn bytes_to(&mut self, index: usize, bytes: &[u8]) -> Result<(), TrainError> {
        self.tell(index, |stream| send(stream, DATA, bytes))
    }

    fn values_to(&mut self, index: usize, values: &[f32]) -> Result<(), TrainError> {
        self.tell(index, |stream| send_values(stream, values))
    }

    /// Reads as many numbers as `values` has and gives each of `values` with its number to `take`.
    fn values_from(
        &mut self,
        index: usize,
        values: &mut [f32],
        take: impl Fn(&mut f32, f32),
    ) -> Result<(), TrainError> {
        let from = self.peer(index);
        let mut at = 0;
        receive(&mut self.peers[index], from, |bytes| {
            if let Some(values) = values.get_mut(at / 4..(at + bytes.len()) / 4) {
                for (value, number) in values.iter_mut().zip(float32(bytes)) {
                    take(value, number);
                }
            }
            at += bytes.len();
        })?;
        if at == 4 * values.len() {
            return Ok(());
        }
        let expected = 4 * values.len();
        Err(TrainError::Rank {
            rank: from,
            reason: format!("it sent {at} bytes, expected {expected}"),
        })
    }

    fn add(&mut self, values: &mut [f32]) -> Result<(), TrainError> {
        if self.rank != 0 {
            self.values_to(0, values)?;
            return self.values_from(0, values, |value, sum| *value = sum);
        }
        for index in 0..self.peers.len() {
            self.values_from(index, values, |sum, value| *sum += value)?;
        }
        for index in 0..self.peers.len() {
            self.values_to(index, values)?;
        }
        Ok(())
    }
}

/// Rank 0 waits for the others.
fn listen(count: usize, meet: &str, deadline: Instant) -> Result<Vec<TcpStream>, TrainError> {
    let failed = |reason: String| TrainError::Meet {
        address: meet.to_owned(),
        reason,
    };
    let listener = TcpListener::bind(meet).map_err(|e| failed(format!("cannot listen: {e}")))?;
    listener
        .set_nonblocking(true)
        .map_err(|e| failed(e.to_string()))?;
    let mut found: Vec<Option<TcpStream>> = (1..count).map(|_| None).collect();
    while let Some(missing) = found.iter().position(Option::is_none) {
        if Instant::now() >= deadline {
            return Err(TrainError::Rank {
                rank: missing + 1,
                reason: format!("it did not come to {meet}"),
            });
        }
        let Ok((mut stream, _)) = listener.accept() else {
            sleep(Duration::from_millis(10));
            continue;
        };
        let ready = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_read_timeout(Some(Duration::from_secs(5))))
            .and_then(|()| stream.set_nodelay(true));
        let mut hello = [0; 16];
        if ready.and_then(|()| stream.read_exact(&mut hello)).is_err() || hello[..8] != MAGIC {
            // Whoever called is no rank.
            continue;
        }
        let number = |at: usize| {
            u32::from_le_bytes([hello[at], hello[at + 1], hello[at + 2], hello[at + 3]]) as usize
        };
        let (rank, counted) = (number(8), number(12));
        let refused = match found.get(rank.wrapping_sub(1)) {
            _ if counted != count => {
                Some(format!("it counts {counted} ranks, rank 0 counts {count}"))
            }
            Some(None) => None,
            Some(Some(_)) => Some("it came twice".into()),
            None => Some(format!("there are ranks 0 to {}", count - 1)),
        };
        if let Some(reason) = refused {
            let _ = send(&mut stream, FAILED, format!("{rank}\n{reason}").as_bytes());
            return Err(TrainError::Rank { rank, reason });
        }
        stream
            .set_read_timeout(None)
            .map_err(|e| failed(e.to_string()))?;
        found[rank - 1] = Some(stream);
    }
    Ok(found.into_iter().flatten().collect())
}

/// Another rank calls rank 0 until it is there.
fn call(rank: usize, count: usize, meet: &str, deadline: Instant) -> Result<TcpStream, TrainError> {
    let failed = |reason: String| TrainError::Meet {
        address: meet.to_owned(),
        reason,
    };
    loop {
        let address = meet
            .to_socket_addrs()
            .map_err(|e| failed(format!("it is no address `HOST:PORT`: {e}")))?
            .next();
        let Some(address) = address else {
            return Err(failed("it names no machine".into()));
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(TrainError::Rank {
                rank: 0,
                reason: format!("it does not listen at {meet}"),
            });
        }
        let Ok(mut stream) = TcpStream::connect_timeout(&address, left) else {
            sleep(Duration::from_millis(50));
            continue;
        };
        let mut hello = [0; 16];
        hello[..8].copy_from_slice(&MAGIC);
        hello[8..12].copy_from_slice(&(rank as u32).to_le_bytes());
        hello[12..].copy_from_slice(&(count as u32).to_le_bytes());
        return stream
            .set_nodelay(true)
            .and_then(|()| stream.write_all(&hello))
            .map(|()| stream)
            .map_err(|e| lost(0, &e));
    }
}

impl Ranks for Tcp {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.count
    }

    fn exchange(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TrainError> {
        self.talk(|ranks| {
            if ranks.rank != 0 {
                ranks.bytes_to(0, bytes)?;
                return (0..ranks.count).map(|_| ranks.bytes_from(0)).collect();
            }
            let mut all = vec![bytes.to_vec()];
            for index in 0..ranks.peers.len() {
                all.push(ranks.bytes_from(index)?);
            }
            for index in 0..ranks.peers.len() {
                for bytes in &all {
                    ranks.bytes_to(index, bytes)?;
                }
            }
            Ok(all)
        })
    }

    fn sum(&mut self, values: &Tensor) -> Result<Tensor, TrainError> {
        let summing = computing("summing over ranks");
        let mut sums: Vec<f32> = values.to_vec1().map_err(&summing)?;
        self.talk(|ranks| ranks.add(&mut sums))?;
        let n = sums.len();
        Tensor::from_vec(sums, n, values.device()).map_err(summing)
    }

    fn fail(&mut self, reason: &str) {
        let text = format!("{}\n{reason}", self.rank);
        for peer in &mut self.peers {
            send_last(peer, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Runs `f` on each of `count` ranks, each on a thread of its own.
    fn together<T: Send>(count: usize, f: impl Fn(Tcp) -> T + Sync) -> Vec<T> {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address").to_string();
        drop(free);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..count)
                .map(|rank| {
                    let (address, f) = (&address, &f);
                    scope.spawn(move || {
                        let patience = Duration::from_secs(20);
                        f(Tcp::meet(rank, count, address, patience).expect("met"))
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|t| t.join().expect("a rank ends"))
                .collect()
        })
    }

    #[test]
    fn ranks_gather_and_sum_in_their_order() {
        // In float32 the order matters: (1e8 + 1) - 1e8 is 0, (1e8 - 1e8) + 1 is 1.
        let values = [1e8_f32, 1.0, -1e8];
        let found = together(3, |mut ranks| {
            let rank = ranks.rank();
            let own = vec![rank as f32; rank + 1];
            let all = ranks.gather(&own).expect("gathered");
            let long = Tensor::from_vec(vec![values[rank]; 40_000], 40_000, &Device::Cpu);
            let sum = ranks.sum(&long.expect("values")).expect("summed");
            let any = ranks.any(rank == 1).expect("asked");
            ranks.same("recipe", b"abc").expect("the same");
            ranks.wait().expect("waited");
            (all, sum.to_vec1::<f32>().expect("values"), any)
        });
        for (all, sum, any) in found {
            assert_eq!(all, [vec![0.0], vec![1.0; 2], vec![2.0; 3]]);
            assert_eq!(sum, vec![0.0; 40_000]);
            assert!(any);
        }
    }

    #[test]
    fn a_rank_that_goes_or_fails_is_named_by_all_others() {
        for rude in [true, false] {
            let found = together(4, |mut ranks| {
                ranks.wait().expect("waited");
                if ranks.rank() == 2 {
                    if !rude {
                        ranks.fail("step 3: the loss is NaN");
                    }
                    return None;
                }
                ranks.wait().err().map(|e| e.to_string())
            });
            for (rank, error) in found.into_iter().enumerate() {
                let expected = match (rank, rude) {
                    (2, _) => None,
                    (_, true) => Some("rank 2: it went away: its connection was closed"),
                    (_, false) => Some("rank 2: step 3: the loss is NaN"),
                };
                assert_eq!(error.as_deref(), expected, "rank {rank}");
            }
        }
    }

    #[test]
    fn ranks_that_do_not_belong_together_are_refused() {
        let found = together(2, |mut ranks| {
            let recipe = if ranks.rank() == 1 { b"b" } else { b"a" };
            ranks
                .same("recipe", recipe)
                .expect_err("unlike")
                .to_string()
        });
        assert_eq!(found, vec!["rank 1: its recipe is not that of rank 0"; 2]);
        let patience = Duration::from_millis(200);
        let missing = Tcp::meet(0, 2, "127.0.0.1:0", patience).expect_err("alone");
        assert!(
            missing.to_string().starts_with("rank 1: it did not come"),
            "{missing}"
        );
        let nobody = Tcp::meet(1, 2, "127.0.0.1:1", patience).expect_err("alone");
        assert!(
            nobody.to_string().starts_with("rank 0: it does not listen"),
            "{nobody}"
        );
        let wrong = Tcp::meet(1, 2, "nowhere", patience).expect_err("no address");
        assert!(wrong.to_string().contains("no address"), "{wrong}");
    }
}
