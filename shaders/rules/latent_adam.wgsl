// latent_adam: a latent weight x moved by Adam (Kingma and Ba 2015, in PyTorch's form); its sign is the weight, 0 keeps the weight:
//   d = g + decay * x,  m += (1 - beta1) * (d - m),  v += (1 - beta2) * (d^2 - v),
//   x -= rate / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + epsilon),  x is clipped.
// The host computes rate / (1 - beta1^t), correction = 1 / sqrt(1 - beta2^t), first = 1 - beta1, second = 1 - beta2.
// states: x, m, v
// decides: x
// hyperparameters: rate, correction, first, second, decay, clip, epsilon
// storage: f32
// import: latent

fn update(g: f32, s: ptr<function, States>, hyper: Hyperparameters) -> f32 {
    let d = g + hyper.decay * (*s).x;
    (*s).m += hyper.first * (d - (*s).m);
    (*s).v += hyper.second * (d * d - (*s).v);
    (*s).x = clipped((*s).x - hyper.rate * (*s).m / (sqrt((*s).v) * hyper.correction + hyper.epsilon), hyper.clip);
    return -(*s).x;
}
