// lion: a latent weight x moved by the sign of an interpolation of momentum and gradient (Chen et al., NeurIPS 2023); its sign is the weight, 0 keeps
// the weight:
//   c = m + (1 - beta1) * (g - m),  x -= rate * (sign(c) + decay * x),  x is clipped,  m += (1 - beta2) * (g - m);  sign(0) = 0.
// The host computes first = 1 - beta1, second = 1 - beta2.
// states: x, m
// decides: x
// hyperparameters: rate, first, second, decay, clip
// storage: f32
// import: latent

fn update(g: f32, s: ptr<function, States>, hyper: Hyperparameters) -> f32 {
    let c = (*s).m + hyper.first * (g - (*s).m);
    (*s).x = clipped((*s).x - hyper.rate * (sign(c) + hyper.decay * (*s).x), hyper.clip);
    (*s).m += hyper.second * (g - (*s).m);
    return -(*s).x;
}
