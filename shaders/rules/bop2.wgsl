// bop2: bop in its second-order form (Suarez-Ramirez et al. 2021), biased: v += sigma * (g^2 - v) beside bop's m, and m / (sqrt(v) + 1e-10) in its place.
// states: m, v
// decides: m
// hyperparameters: alpha, threshold, sigma
// storage: f32

fn update(g: f32, s: ptr<function, States>, hyper: Hyperparameters) -> f32 {
    (*s).m += hyper.alpha * (g - (*s).m);
    (*s).v += hyper.sigma * (g * g - (*s).v);
    return select(0.0, (*s).m, abs((*s).m) > hyper.threshold * (sqrt((*s).v) + 1e-10));
}
