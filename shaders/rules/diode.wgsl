// diode: a cascade with a sign between its averages (Guo et al., ECCV 2024), so that every step votes with the same weight:
//   m += gamma * (g - m),  s += alpha * (sign(m) - s),  weight = -1 where s > 0, +1 where s < 0, unchanged where s = 0;  sign(0) = 0.
// states: m, s
// hyperparameters: alpha, gamma
// storage: f32

fn update(g: f32, states: ptr<function, States>, hyper: Hyperparameters) -> f32 {
    (*states).m += hyper.gamma * (g - (*states).m);
    (*states).s += hyper.alpha * (sign((*states).m) - (*states).s);
    return (*states).s;
}
