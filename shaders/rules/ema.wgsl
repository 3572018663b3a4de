// ema: one moving average, whose sign is the weight: h += alpha * (g - h),  weight = -1 where h > 0, +1 where h < 0, unchanged where h = 0.
// states: h
// hyperparameters: alpha
// storage: f32, f16, i16, i8

fn update(g: f32, s: ptr<function, States>, hyper: Hyperparameters) -> f32 {
    (*s).h += hyper.alpha * (g - (*s).h);
    return (*s).h;
}
