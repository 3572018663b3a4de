// latent_sgd: a latent weight x moved by SGD with momentum and weight decay, as in PyTorch without dampening; its sign is the weight, 0 keeps the
// weight:
//   m = momentum * m + (g + decay * x),  x -= rate * m,  x is clipped.
// states: x, m
// decides: x
// hyperparameters: rate, momentum, decay, clip
// storage: f32
// import: latent

fn update(g: f32, s: ptr<function, States>, hyper: Hyperparameters) -> f32 {
    (*s).m = hyper.momentum * (*s).m + (g + hyper.decay * (*s).x);
    (*s).x = clipped((*s).x - hyper.rate * (*s).m, hyper.clip);
    return -(*s).x;
}
