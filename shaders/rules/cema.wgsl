// cema: cascaded moving averages, whose sign is the weight (Quist, Li, van Gemert, ICLR 2023):
//   m += gamma * (g - m),  h += alpha * (m - h),  weight = -1 where h > 0, +1 where h < 0, unchanged where h = 0.
// states: m, h
// hyperparameters: alpha, gamma
// storage: f32, f16, i16, i8

fn update(g: f32, s: ptr<function, States>, hyper: Hyperparameters) -> f32 {
    (*s).m += hyper.gamma * (g - (*s).m);
    (*s).h += hyper.alpha * ((*s).m - (*s).h);
    return (*s).h;
}
