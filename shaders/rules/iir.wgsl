// iir: any recursive filter with unit DC gain, as a cascade of biquads in transposed direct form II with the delta operator z - 1 instead of z
// (Middleton and Goodwin 1986), so that slow poles keep their precision in f32. For each biquad with coefficients b0, b1, a1, a2:
//   y = b0 u + p,  p += q + b1 u - a1 y,  q += a2 (u - y);   u is the gradient for the first biquad, the y of the previous one for the others.
//   weight = -1 where the last y > 0, +1 where y < 0, unchanged where y = 0.
// The state s has planes p and q for each biquad. Hyperparameters: one vec4 (b0, b1, a1, a2) for each biquad.
// states: s
// planes: 2, 4, 6, 8
// storage: f32

fn update(g: f32, s: ptr<function, States>, hyper: Hyperparameters) -> f32 {
    var u = g;
    for (var k = 0u; k < PLANES / 2u; k++) { // unroll
        let c = hyperparameter(k);
        let p = (*s).s[2u * k];
        let q = (*s).s[2u * k + 1u];
        let y = c.x * u + p;
        (*s).s[2u * k] = p + (q + c.y * u - c.z * y);
        (*s).s[2u * k + 1u] = q + c.w * (u - y);
        u = y;
    }
    return u;
}
