//! Products of several streams over the same rows, judged by the sums in 64 bits.

use super::*;
use crate::kernels::ProductFloat;

/// `[R / 32][K][32 rows]`, the last block with the rows that are left.
fn blocks(rows: &[Vec<f32>]) -> Vec<f32> {
    let block = |rows: &[Vec<f32>]| -> Vec<f32> {
        (0..rows[0].len()).flat_map(|column| rows.iter().map(move |row| row[column])).collect()
    };
    rows.chunks(32).flat_map(block).collect()
}

fn agrees<B: Backend, W: FloatWeight>(backend: B, weights: &[W], bias: &[f32], xs: &[Vec<f32>], sums: &[Vec<f64>]) {
    let rows = RowsFloat { weights, bias };
    for add in [false, true] {
        // As what is added to, the biases of the streams; as what is not, numbers that would be seen.
        let start = if add { bias.to_vec() } else { vec![f32::NAN; bias.len()] };
        let mut outs = vec![start; xs.len()];
        let mut products: Vec<_> = xs.iter().zip(&mut outs).map(|(x, out)| ProductFloat { x, out }).collect();
        backend.rows_float_many(&rows, &mut products, add);
        for (out, sums) in outs.iter().zip(sums) {
            for (out, sum) in out.iter().zip(sums) {
                assert!((f64::from(*out) - sum).abs() < 1e-4, "{}: {out} and {sum}", backend.name());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn float_rows_of_several_streams_are_those_of_each(
        seed: u64, streams in 1_usize..=MANY, eights in 1_usize..=14, columns in 1_usize..=70,
    ) {
        let noise = &mut Noise(seed);
        // Numbers that f16 holds exactly.
        let mut number = || f16::from_f32(noise.float()).to_f32();
        let rows: Vec<Vec<f32>> = (0..8 * eights).map(|_| (0..columns).map(|_| number()).collect()).collect();
        let bias: Vec<f32> = rows.iter().map(|_| number()).collect();
        let xs: Vec<Vec<f32>> = (0..streams).map(|_| (0..columns).map(|_| number()).collect()).collect();
        let sum = |x: &Vec<f32>, row: &Vec<f32>, bias: f32| {
            row.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>() + f64::from(bias)
        };
        let sums: Vec<Vec<f64>> =
            xs.iter().map(|x| rows.iter().zip(&bias).map(|(row, bias)| sum(x, row, *bias)).collect()).collect();
        let weights = blocks(&rows);
        let half: Vec<f16> = weights.iter().copied().map(f16::from_f32).collect();
        for_every_backend!(backend => {
            agrees(backend, &weights, &bias, &xs, &sums);
            agrees(backend, &half, &bias, &xs, &sums);
        });
    }
}
