//! Measures the CPU time of an Argon2id verification with the default parameters, in milliseconds.
//! `measure_cold_start` (in `tests/examples`) compares a sign-in with it.
#![allow(clippy::unwrap_used, reason = "a measurement")]

use argon2::{Algorithm, Argon2, Block, Params, Version};
use vestibule_secrets::HashParameters;

fn main() {
    let HashParameters {
        memory_kib,
        passes,
        lanes,
    } = HashParameters::default();
    let params = Params::new(memory_kib, passes, lanes, Some(32)).unwrap();
    let mut memory = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut verify = || {
        let mut output = [0; 32];
        argon2
            .hash_password_into_with_memory(b"Quiet-Harbor-77", &[7; 16], &mut output, &mut memory)
            .unwrap();
        assert_ne!(output, [0; 32]);
    };
    // The first run maps the memory pages, so it is not measured.
    verify();
    let began = cpu_ns();
    let times = 50;
    (0..times).for_each(|_| verify());
    println!("{:.3}", (cpu_ns() - began) / f64::from(times) / 1e6);
}

/// Returns the CPU time of this thread from Linux's scheduler, in nanoseconds.
fn cpu_ns() -> f64 {
    let reported = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    reported.split(' ').next().unwrap().parse().unwrap()
}
