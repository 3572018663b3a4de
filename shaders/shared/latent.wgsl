// Functions that rules with a latent weight share.

// Returns x clamped to [-clip, clip].
fn clipped(x: f32, clip: f32) -> f32 {
    return clamp(x, -clip, clip);
}
