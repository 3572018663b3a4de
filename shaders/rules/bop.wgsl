// bop: a weight flips where the average gradient keeps pushing it, by more than a threshold (Helwegen et al., NeurIPS 2019):
//   m += alpha * (g - m),  weight = -1 where m > threshold, +1 where m < -threshold, else unchanged.
// states: m
// hyperparameters: alpha, threshold
// storage: f32

fn update(g: f32, s: ptr<function, States>, hyper: Hyperparameters) -> f32 {
    (*s).m += hyper.alpha * (g - (*s).m);
    return select(0.0, (*s).m, abs((*s).m) > hyper.threshold);
}
