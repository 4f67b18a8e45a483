//! The compression function with AVX2 and AVX-512 instructions (RFC 9106 section 3.5).
//!
//! A block is a matrix of 8 rows of 16 words. The permutation of a row mixes the 4 x 4 matrix of its words: vectors hold
//! the rows of that matrix, and its diagonals come from rotations within the vectors. The permutation of the columns
//! mixes two words of every row: vectors hold neighboring words, so that several of these matrices are mixed at once,
//! and their diagonals come from the neighbors in two vectors.

use crate::Block;

#[cfg(target_arch = "x86")]
use core::arch::x86::*;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::*;

/// Defines the function for one set of instructions, in whose module `Vector`, its operations and `rows` are found.
macro_rules! compress {
    ($feature:literal) => {
        /// Two vectors for each of the rows a, b, c and d of the matrices that are mixed at once.
        type Matrices = [[Vector; 2]; 4];

        const VECTORS: usize = Block::SIZE / size_of::<Vector>();
        const VECTORS_OF_ROW: usize = VECTORS / 8;

        /// `BlaMka` (RFC 9106 section 3.6): an addition with a multiplication of the low halves.
        #[inline]
        #[target_feature(enable = $feature)]
        fn multiply_add(a: Vector, b: Vector) -> Vector {
            let product = multiply(a, b);
            add(add(a, b), add(product, product))
        }

        macro_rules! mix {
            ($a:ident, $b:ident, $c:ident, $d:ident) => {
                $a = multiply_add($a, $b);
                $d = rotate_32(xor($d, $a));
                $c = multiply_add($c, $d);
                $b = rotate_24(xor($b, $c));
                $a = multiply_add($a, $b);
                $d = rotate_16(xor($d, $a));
                $c = multiply_add($c, $d);
                $b = rotate_63(xor($b, $c));
            };
        }

        #[inline]
        #[target_feature(enable = $feature)]
        fn mix_rows(matrices: Matrices) -> Matrices {
            let [
                [mut a0, mut a1],
                [mut b0, mut b1],
                [mut c0, mut c1],
                [mut d0, mut d1],
            ] = matrices;
            mix!(a0, b0, c0, d0);
            mix!(a1, b1, c1, d1);
            (b0, c0, d0) = (left_1(b0), left_2(c0), left_3(d0));
            (b1, c1, d1) = (left_1(b1), left_2(c1), left_3(d1));
            mix!(a0, b0, c0, d0);
            mix!(a1, b1, c1, d1);
            (b0, c0, d0) = (left_3(b0), left_2(c0), left_1(d0));
            (b1, c1, d1) = (left_3(b1), left_2(c1), left_1(d1));
            [[a0, a1], [b0, b1], [c0, c1], [d0, d1]]
        }

        #[inline]
        #[target_feature(enable = $feature)]
        fn mix_columns(matrices: Matrices) -> Matrices {
            let [
                [mut a0, mut a1],
                [mut b0, mut b1],
                [mut c0, mut c1],
                [mut d0, mut d1],
            ] = matrices;
            mix!(a0, b0, c0, d0);
            mix!(a1, b1, c1, d1);
            (b0, b1) = (odd_even(b0, b1), odd_even(b1, b0));
            (d0, d1) = (odd_even(d1, d0), odd_even(d0, d1));
            mix!(a0, b0, c1, d0);
            mix!(a1, b1, c0, d1);
            (b0, b1) = (odd_even(b1, b0), odd_even(b0, b1));
            (d0, d1) = (odd_even(d0, d1), odd_even(d1, d0));
            [[a0, a1], [b0, b1], [c0, c1], [d0, d1]]
        }

        /// Like [`Block::compress`], and writes the result to `to`, or adds it to `to` (exclusive or) if `is_added`.
        /// `first_word` is called with the first word of `to` as soon as it is known. Nothing is copied between the two
        /// passes. Vectors are not passed to closures or to functions of `core`, which are compiled without these
        /// instructions and take them from memory: with iterators it takes half as long again.
        #[target_feature(enable = $feature)]
        pub(crate) fn compress(
            [rhs, lhs]: [&Block; 2],
            scratch: &mut Block,
            to: &mut Block,
            is_added: bool,
            mut first_word: impl FnMut(u64),
        ) {
            // SAFETY: a block has the size of these vectors and at least their alignment, and all bits are valid.
            let (rhs, lhs, q, to) = unsafe {
                (
                    &*(&raw const *rhs).cast::<[Vector; VECTORS]>(),
                    &*(&raw const *lhs).cast::<[Vector; VECTORS]>(),
                    &mut *(&raw mut *scratch).cast::<[Vector; VECTORS]>(),
                    &mut *(&raw mut *to).cast::<[Vector; VECTORS]>(),
                )
            };
            for group in 0..VECTORS / 8 {
                let at = 8 * group;
                let mut rows = [rhs[at]; 8];
                for i in 0..8 {
                    rows[i] = xor(rhs[at + i], lhs[at + i]);
                }
                store_rows(&mut q[at..at + 8], mix_rows(load_rows(&rows)));
            }
            for column in 0..VECTORS_OF_ROW {
                let at = |row: usize| row * VECTORS_OF_ROW + column;
                let vectors = mix_columns([
                    [q[at(0)], q[at(1)]],
                    [q[at(2)], q[at(3)]],
                    [q[at(4)], q[at(5)]],
                    [q[at(6)], q[at(7)]],
                ]);
                for row in 0..8 {
                    let at = at(row);
                    let mixed = xor(vectors[row / 2][row % 2], xor(rhs[at], lhs[at]));
                    to[at] = if is_added { xor(mixed, to[at]) } else { mixed };
                }
                if column == 0 {
                    first_word(low_word(to[0]));
                }
            }
        }
    };
}

/// Defines the operations of a set of instructions.
macro_rules! operations {
    ($feature:literal: $($name:ident($($argument:ident),+) $body:expr;)+) => {
        $(
            #[inline]
            #[target_feature(enable = $feature)]
            fn $name($($argument: Vector),+) -> Vector {
                $body
            }
        )+
    };
}

pub(crate) mod avx2 {
    use super::*;

    type Vector = __m256i;

    operations! { "avx2":
        xor(a, b) _mm256_xor_si256(a, b);
        add(a, b) _mm256_add_epi64(a, b);
        multiply(a, b) _mm256_mul_epu32(a, b);
        rotate_32(a) _mm256_shuffle_epi32::<0b10_11_00_01>(a);
        rotate_24(a) _mm256_shuffle_epi8(a, rotated_bytes(0x0201_0007_0605_0403));
        rotate_16(a) _mm256_shuffle_epi8(a, rotated_bytes(0x0100_0706_0504_0302));
        rotate_63(a) _mm256_xor_si256(_mm256_srli_epi64::<63>(a), _mm256_add_epi64(a, a));
        left_1(a) _mm256_permute4x64_epi64::<0b00_11_10_01>(a);
        left_2(a) _mm256_permute4x64_epi64::<0b01_00_11_10>(a);
        left_3(a) _mm256_permute4x64_epi64::<0b10_01_00_11>(a);
        // The odd words of one vector, each followed by the even word of the other that comes next.
        odd_even(odd, even) _mm256_alignr_epi8::<8>(even, odd);
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn low_word(a: Vector) -> u64 {
        let low = _mm256_castsi256_si128(a);
        let (first, second) = (_mm_extract_epi32::<0>(low), _mm_extract_epi32::<1>(low));
        u64::from(first.cast_unsigned()) | u64::from(second.cast_unsigned()) << 32
    }

    /// The indexes of the bytes of two words, from those of the first.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn rotated_bytes(of_word: i64) -> Vector {
        let of_next = of_word + 0x0808_0808_0808_0808;
        _mm256_setr_epi64x(of_word, of_next, of_word, of_next)
    }

    /// Two rows of four vectors.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn load_rows(rows: &[Vector]) -> Matrices {
        [
            [rows[0], rows[4]],
            [rows[1], rows[5]],
            [rows[2], rows[6]],
            [rows[3], rows[7]],
        ]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn store_rows(rows: &mut [Vector], matrices: Matrices) {
        for (i, [first, second]) in matrices.iter().enumerate() {
            (rows[i], rows[4 + i]) = (*first, *second);
        }
    }

    compress!("avx2");
}

pub(crate) mod avx512 {
    use super::*;

    type Vector = __m512i;

    operations! { "avx512f,avx512bw":
        xor(a, b) _mm512_xor_si512(a, b);
        add(a, b) _mm512_add_epi64(a, b);
        multiply(a, b) _mm512_mul_epu32(a, b);
        rotate_32(a) _mm512_ror_epi64::<32>(a);
        rotate_24(a) _mm512_ror_epi64::<24>(a);
        rotate_16(a) _mm512_ror_epi64::<16>(a);
        rotate_63(a) _mm512_ror_epi64::<63>(a);
        left_1(a) _mm512_permutex_epi64::<0b00_11_10_01>(a);
        left_2(a) _mm512_permutex_epi64::<0b01_00_11_10>(a);
        left_3(a) _mm512_permutex_epi64::<0b10_01_00_11>(a);
        odd_even(odd, even) _mm512_alignr_epi8::<8>(even, odd);
        low_halves(a, b) _mm512_shuffle_i64x2::<0b01_00_01_00>(a, b);
        high_halves(a, b) _mm512_shuffle_i64x2::<0b11_10_11_10>(a, b);
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn low_word(a: Vector) -> u64 {
        let low = _mm512_castsi512_si128(a);
        let (first, second) = (_mm_extract_epi32::<0>(low), _mm_extract_epi32::<1>(low));
        u64::from(first.cast_unsigned()) | u64::from(second.cast_unsigned()) << 32
    }

    /// Four rows of two vectors. A vector of the matrices has four words of one row and four of the next.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn load_rows(rows: &[Vector]) -> Matrices {
        [
            [low_halves(rows[0], rows[2]), low_halves(rows[4], rows[6])],
            [high_halves(rows[0], rows[2]), high_halves(rows[4], rows[6])],
            [low_halves(rows[1], rows[3]), low_halves(rows[5], rows[7])],
            [high_halves(rows[1], rows[3]), high_halves(rows[5], rows[7])],
        ]
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn store_rows(rows: &mut [Vector], [a, b, c, d]: Matrices) {
        for i in 0..2 {
            rows[4 * i] = low_halves(a[i], b[i]);
            rows[4 * i + 1] = low_halves(c[i], d[i]);
            rows[4 * i + 2] = high_halves(a[i], b[i]);
            rows[4 * i + 3] = high_halves(c[i], d[i]);
        }
    }

    compress!("avx512f,avx512bw");
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::{is_x86_feature_detected, vec::Vec};

    /// Blocks of words without a pattern (SplitMix64).
    fn blocks() -> impl Iterator<Item = Block> {
        let mut state = 0_u64;
        core::iter::repeat_with(move || {
            let mut block = Block::new();
            for word in block.as_mut() {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                *word = z ^ (z >> 31);
            }
            block
        })
    }

    fn check(compress: impl Fn([&Block; 2], &mut Block, &mut Block, bool) -> u64) {
        let edges = [Block::new(), {
            let mut block = Block::new();
            block.as_mut().fill(u64::MAX);
            block
        }];
        let inputs: Vec<Block> = edges.into_iter().chain(blocks().take(62)).collect();
        let mut scratch = Block::new();
        for a in &inputs {
            for b in &inputs {
                let expected = Block::compress(a, b);
                let mut to = *a;
                let first = compress([a, b], &mut scratch, &mut to, false);
                assert_eq!(to.as_ref(), expected.as_ref());
                assert_eq!(first, to.as_ref()[0]);
                let first = compress([b, a], &mut scratch, &mut to, true);
                let expected = Block::compress(b, a) ^ &expected;
                assert_eq!(to.as_ref(), expected.as_ref());
                assert_eq!(first, to.as_ref()[0]);
            }
        }
    }

    #[test]
    fn avx2_computes_what_the_portable_function_computes() {
        if is_x86_feature_detected!("avx2") {
            // SAFETY: AVX2 was detected.
            check(|from, scratch, to, is_added| {
                let mut first = None;
                unsafe { avx2::compress(from, scratch, to, is_added, |word| first = Some(word)) };
                first.unwrap()
            });
        }
    }

    #[test]
    fn avx512_computes_what_the_portable_function_computes() {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            // SAFETY: AVX-512 was detected.
            check(|from, scratch, to, is_added| {
                let mut first = None;
                unsafe { avx512::compress(from, scratch, to, is_added, |word| first = Some(word)) };
                first.unwrap()
            });
        }
    }
}
