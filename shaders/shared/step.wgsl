// Values that change from step to step; everything else about a dispatch is fixed when it is recorded.

struct StepParams {
    step: u32,       // steps taken before this one
    seed: u32,       // of the run, for counter-based random numbers
    valid_rows: u32, // rows of the batch that hold samples; the rest is padding
    loss_slot: u32,  // where this step's loss goes in the ring of losses
    hyperparameters: array<vec4<f32>, 32>, // four vec4 an optimizer rule: its hyperparameters after their schedules
}

var<uniform> step: StepParams;
