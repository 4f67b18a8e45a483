//! Shared parts of the measurements in `examples`. Each size runs in its own process, and the
//! embedded DynamoDB in another, so that time and memory are only those of the measured code.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use vestibule_local::instance::{FREE, embedded};

/// Measures each size given on the command line, one after the other. `measure` receives the size
/// and the address of a new DynamoDB.
pub async fn sizes(header: &str, measure: impl AsyncFn(usize, String)) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["dynamodb"] => {
            println!("{}", embedded(None, FREE).await.unwrap());
            std::future::pending::<()>().await;
        }
        ["measure", size, endpoint] => {
            measure(size.parse().unwrap(), (*endpoint).to_owned()).await;
        }
        [] => println!("Which sizes? Such as: -- 1000 10000"),
        sizes => {
            println!(
                "{header}\n|{}",
                "---|".repeat(header.matches('|').count() - 1)
            );
            sizes.iter().for_each(|size| in_processes(size));
        }
    }
}

/// Measures one size in a new process, with another process as its DynamoDB.
fn in_processes(size: &str) {
    let again = || Command::new(std::env::current_exe().unwrap());
    let started = again().arg("dynamodb").stdout(Stdio::piped()).spawn();
    let mut dynamodb = Killed(started.unwrap());
    let mut endpoint = String::new();
    let reported = dynamodb.0.stdout.take().unwrap();
    BufReader::new(reported).read_line(&mut endpoint).unwrap();
    let measured = again().args(["measure", size, endpoint.trim()]).status();
    assert!(measured.unwrap().success(), "at {size}");
}

/// A process that is killed when this is dropped.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the peak memory of this process since [`reset_peak`], in MiB.
pub fn peak_mib() -> f64 {
    status_mib("VmHWM:")
}

/// Returns the current memory of this process, in MiB.
pub fn held_mib() -> f64 {
    status_mib("VmRSS:")
}

/// Reads a line of `/proc/self/status` (proc(5)); 0 if it is missing.
fn status_mib(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(name));
    let kib = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// Resets the peak.
pub fn reset_peak() {
    // If this fails, the peak is that of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Returns the CPU time of this process, in milliseconds.
pub fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after.split_whitespace().skip(11).take(2);
    // Linux reports 100 ticks per second to every program.
    ticks.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() * 10.0
}
