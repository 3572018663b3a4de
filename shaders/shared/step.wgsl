// Values that change from step to step. Everything else about a dispatch is fixed at recording.

struct StepParams {
    step: u32,       // steps taken before this one
    seed: u32,       // of the run, for counter-based random numbers
    valid_rows: u32, // rows of the batch that hold samples; the remaining rows are padding
    loss_slot: u32,  // index of this step's loss in the ring of losses
    hyperparameters: array<vec4<f32>, 32>, // four vec4 per optimizer rule: its scheduled hyperparameters
}

var<uniform> step: StepParams;
