//! The table of float tolerances, `atol + rtol * |reference|`, each row with its reason.
#![allow(dead_code, clippy::print_stdout, reason = "not every test file uses every row; used fractions are printed")]

/// The allowed difference of a float from its reference.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Name in messages.
    pub name: &'static str,
    /// Absolute part.
    pub atol: f64,
    /// Relative part.
    pub rtol: f64,
    /// The reason for the values.
    pub reason: &'static str,
}

/// Half a unit in the last place of an f32 near 1.
const ROUND: f64 = f32::EPSILON as f64 / 2.0;

/// A few rounded operations.
pub const ELEMENTWISE: Tolerance = Tolerance {
    name: "elementwise",
    atol: 1e-7,
    rtol: 8.0 * ROUND,
    reason: "a few operations on numbers near 1, each rounded once",
};

/// Library functions in shaders.
pub const TRANSCENDENTAL: Tolerance = Tolerance {
    name: "transcendental",
    atol: 5e-6,
    rtol: 2e-5,
    reason: "WGSL lets exp, cosh and tanh err by several units in the last place, and 1 - tanh^2 cancels",
};

/// A mean loss against PyTorch's.
pub const LOSS: Tolerance = Tolerance {
    name: "loss",
    atol: 1e-6,
    rtol: 4.0 * ROUND,
    reason: "PyTorch's own f32 errs by 3e-7 against f64; ours may err as much, with room for another order of summation",
};

/// A gradient of a weight, a scale or a bias against PyTorch's: sums over a batch of 16, through three layers.
pub const GRADIENT: Tolerance = Tolerance {
    name: "gradient",
    atol: 6e-8,
    rtol: 4e-6,
    reason: "PyTorch's own f32 errs by 1.1e-8 against f64; batch norm divides differences of sums, so small values have the absolute error of large ones",
};

/// First filter (gamma 0.1) and Adam's first moment (0.1): a tenth of the gradient's error enters.
pub const FIRST_MOMENT: Tolerance = Tolerance {
    name: "first moment",
    atol: 6e-9,
    rtol: 4e-6,
    reason: "a tenth of the error of a gradient enters, and one rounding",
};

/// Second filter (alpha at most 0.01).
pub const SECOND_FILTER: Tolerance = Tolerance {
    name: "second filter",
    atol: 6e-11,
    rtol: 4e-6,
    reason: "a hundredth of the error of the first filter enters, and one rounding",
};

/// Adam's second moment (0.001 of the squared gradient).
pub const SECOND_MOMENT: Tolerance = Tolerance {
    name: "second moment",
    atol: 1e-11,
    rtol: 8e-6,
    reason: "squares double relative errors; a thousandth of them enters",
};

/// A parameter after Adam with rate 1e-3, and running statistics.
pub const PARAMETER: Tolerance = Tolerance {
    name: "parameter",
    atol: 2e-7,
    rtol: 1e-6,
    reason: "a step is at most a few times the rate, whatever the gradient, and its relative error is that of m / sqrt(v)",
};

/// A loss after several steps of a free run.
pub const TRAJECTORY: Tolerance = Tolerance {
    name: "trajectory",
    atol: 1e-6,
    rtol: 1e-3,
    reason: "rounding errors of 20 steps add up but turn no sign; one wrong sign moves the loss by a percent or more",
};

/// An analytic derivative against a central difference of fourth order of a mean loss in f32.
pub const DIFFERENCE: Tolerance = Tolerance {
    name: "finite difference",
    atol: 2e-5,
    rtol: 1e-3,
    reason: "losses near 5 err by some 5e-7, which the step of 0.05 magnifies thirty times; the rest is the fifth derivative",
};

/// A sum of `terms` numbers of about `size`, rounded in f32.
pub fn reduction(terms: usize, size: f64) -> Tolerance {
    Tolerance {
        name: "reduction",
        atol: 8.0 * ROUND * (terms as f64).sqrt() * size,
        rtol: 4.0 * ROUND,
        reason: "rounding errors of a sum add up as a random walk: sqrt(terms)",
    }
}

/// Returns the largest fraction of the tolerance that an element uses; panics if an element exceeds it.
pub fn check<G: Copy + Into<f64>, E: Copy + Into<f64>>(row: &Tolerance, what: &str, got: &[G], expected: &[E]) -> f64 {
    assert_eq!(got.len(), expected.len(), "{what}: elements");
    assert!(!got.is_empty(), "{what}: nothing to compare");
    let (mut worst, count) = (0.0_f64, expected.len());
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let (got, expected): (f64, f64) = (got.into(), expected.into());
        let share = (got - expected).abs() / (row.atol + row.rtol * expected.abs());
        assert!(
            share <= 1.0,
            "{what}: element {i} of {}: expected {expected:e}, got {got:e}, off by {:e} = {share:.2} of the tolerance `{}` \
             ({:e} + {:e} * |expected|: {})",
            count,
            (got - expected).abs(),
            row.name,
            row.atol,
            row.rtol,
            row.reason
        );
        worst = worst.max(share);
    }
    worst
}

/// Same as above, and prints the fraction.
pub fn assert_close<G: Copy + Into<f64>, E: Copy + Into<f64>>(
    row: &Tolerance,
    what: &str,
    got: &[G],
    expected: &[E],
) -> f64 {
    let share = check(row, what, got, expected);
    report(row, what, share);
    share
}

/// Prints the used fraction of a tolerance.
pub fn report(row: &Tolerance, what: &str, share: f64) {
    println!("{what}: {:.1} % of the tolerance `{}` used", 100.0 * share, row.name);
}

#[test]
#[should_panic(expected = "element 1")]
fn non_finite_values_are_never_close() {
    check(&TRAJECTORY, "not-a-number", &[1.0, f64::NAN], &[1.0, 1.0]);
}

#[test]
fn the_fraction_is_that_of_the_worst_element() {
    let row = Tolerance { name: "test", atol: 1.0, rtol: 1.0, reason: "arithmetic" };
    assert_eq!(check(&row, "shares", &[0.0, 2.0, 1.5], &[0.0, 1.0, 1.0]), 0.5);
}
