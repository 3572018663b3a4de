// What rules with a latent weight share.

// Within +-clip.
fn clipped(x: f32, clip: f32) -> f32 {
    return clamp(x, -clip, clip);
}
