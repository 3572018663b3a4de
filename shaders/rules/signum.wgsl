// signum: a latent weight x moved by the sign of the momentum (Bernstein et al., ICML 2018); its sign is the weight, 0 leaves it:
//   m += (1 - momentum) * (g - m),  x -= rate * (sign(m) + decay * x),  x is clipped;  sign(0) = 0.
// states: x, m
// decides: x
// hyperparameters: rate, share, decay, clip
// storage: f32
// import: latent

fn update(g: f32, s: ptr<function, States>, hyper: Hyperparameters) -> f32 {
    (*s).m += hyper.share * (g - (*s).m);
    (*s).x = clipped((*s).x - hyper.rate * (sign((*s).m) + hyper.decay * (*s).x), hyper.clip);
    return -(*s).x;
}
