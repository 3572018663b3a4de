//! Selects the variant of a kernel and the number of groups of a dispatch, and creates each pipeline once.
#![allow(
    unsafe_code,
    reason = "trusted shader modules: a dispatch binds tensors of the extents that its kernel may access"
)]

use super::super::kernel::{Access, Binding, Interface, Kernel, Variant};
use super::super::recording::{Dispatch, Grid};
use super::super::target::Target;
use super::context::Context;
use crate::error::{Error, Result};
use std::collections::HashMap;

/// Maximum number of groups in one dimension of a dispatch, on every device.
const MAX_GROUPS: u32 = 65_535;

/// A pipeline and the layouts of its two groups.
#[derive(Clone)]
pub struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub tensors: wgpu::BindGroupLayout,
    pub uniforms: wgpu::BindGroupLayout,
}

/// Pipelines by kernel, entry point and preset.
pub struct Pipelines {
    /// By kernel (its address, since two kernels may have the same label), entry point and preset.
    made: HashMap<(usize, String, &'static str), Pipeline>,
    software: bool,
    target: Target,
    checked: bool,
    pub forced: Option<usize>,
    /// Number of groups in one dimension above which a grid is folded.
    pub fold_above: u32,
    /// Number of lines above which a folded grid is split into several dispatches.
    pub split_above: u32,
}

impl Pipelines {
    /// Creates an empty cache. `PLUSMINUS_CHECKED=1` keeps the bounds checks of shaders on.
    pub fn new(software: bool, target: Target) -> Self {
        let checked = std::env::var("PLUSMINUS_CHECKED").is_ok_and(|v| v == "1");
        Self {
            made: HashMap::new(),
            software,
            target,
            checked,
            forced: None,
            fold_above: MAX_GROUPS,
            split_above: MAX_GROUPS,
        }
    }

    /// Selects a variant among those whose requirements the device meets. Software adapters use the first variant, which uses registers
    /// only. Other adapters use the last entry point, which is designed for GPUs, with the largest tile that still yields enough groups
    /// (64) to occupy every core; if no tile does, the smallest tile of any entry point.
    pub fn choose(&self, dispatch: &Dispatch) -> &'static Variant {
        const ENOUGH_GROUPS: u64 = 64;
        let runs = |variant: &&Variant| self.target.meets(&variant.requires);
        let variants: Vec<&'static Variant> = dispatch.kernel.all_variants().filter(runs).collect();
        if let Some(number) = self.forced {
            return variants[number % variants.len()];
        }
        if self.software || variants.len() == 1 {
            return variants[0];
        }
        let tile = |variant: &Variant| variant.cover.iter().product::<u32>();
        let groups = |variant: &Variant| match dispatch.grid {
            Grid::Linear(n) => n.div_ceil(u64::from(variant.cover[0])),
            Grid::Matrix(extent) => (0..2).map(|i| u64::from(extent[i].div_ceil(variant.cover[i]))).product(),
            Grid::Tiles(extent) => (0..3).map(|i| u64::from(extent[i].div_ceil(variant.cover[i]))).product(),
        };
        let made_for_gpus = dispatch.kernel.variants.last().into_iter().flat_map(|entry| entry.iter()).filter(runs);
        let large =
            made_for_gpus.filter(|variant| groups(variant) >= ENOUGH_GROUPS).max_by_key(|variant| tile(variant));
        large
            .or_else(|| variants.into_iter().min_by_key(|variant| tile(variant)))
            .expect("the first variant of a kernel runs everywhere")
    }

    /// Returns the pipeline of a variant; creates it on first use.
    pub async fn get(&mut self, cx: &mut Context, kernel: &'static Kernel, variant: &Variant) -> Result<Pipeline> {
        let key = (std::ptr::from_ref(kernel).addr(), variant.entry.to_string(), variant.preset);
        if let Some(made) = self.made.get(&key) {
            return Ok(made.clone());
        }
        let scope = cx.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(kernel.label()),
            source: wgpu::ShaderSource::Wgsl(variant.text(cfg!(target_arch = "wasm32"))?.into()),
        };
        let module = if self.checked || !kernel.is_trusted() {
            cx.device.create_shader_module(descriptor)
        } else {
            // SAFETY: a kernel of this crate accesses only elements within the extents that its bindings declare, its loops terminate, and
            // its divisors are limited to numbers above 0. Program::check has compared all of this with the tensors and parameters of the
            // dispatch, and tests verify that the shaders comply.
            unsafe { cx.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
        };
        let buffer = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let storage =
            |b: &Binding| buffer(b.index, wgpu::BufferBindingType::Storage { read_only: b.access == Access::Read });
        let layout = |entries: &[wgpu::BindGroupLayoutEntry]| {
            cx.device
                .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(kernel.label()), entries })
        };
        let tensors = layout(&kernel.interface.bindings.iter().map(storage).collect::<Vec<_>>());
        let Interface { params, step, epilogue, grid, .. } = kernel.interface;
        let uniform = [(0, params), (1, step), (2, epilogue), (3, grid)];
        let uniform: Vec<_> = uniform
            .into_iter()
            .filter(|(_, used)| *used)
            .map(|(i, _)| buffer(i, wgpu::BufferBindingType::Uniform))
            .collect();
        let uniforms = layout(&uniform);
        let layout = cx.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(kernel.label()),
            bind_group_layouts: &[Some(&tensors), Some(&uniforms)],
            ..Default::default()
        });
        let pipeline = cx.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel.label()),
            layout: Some(&layout),
            module: &module,
            entry_point: Some(&variant.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Kernels of this crate write workgroup memory before they read it.
                zero_initialize_workgroup_memory: !kernel.is_trusted(),
                ..Default::default()
            },
            cache: None,
        });
        cx.stats.pipelines += 1;
        if let Some(error) = scope.pop().await {
            let doing = format!("compiling {} (preset {})", kernel.label(), variant.preset);
            return Err(Error::Device { device: cx.info.name.clone(), doing, message: error.to_string() });
        }
        log::debug!("{}: compiled {} preset {}", cx.info.name, variant.entry, variant.preset);
        let made = Pipeline { pipeline, tensors, uniforms };
        self.made.insert(key, made.clone());
        Ok(made)
    }
}

/// Returns the groups of a dispatch with a variant. Linear grids and matrices are folded above `fold_above` groups.
pub fn groups(cx: &Context, dispatch: &Dispatch, variant: &Variant, fold_above: u32) -> Result<[u32; 3]> {
    let groups = match dispatch.grid {
        Grid::Linear(n) => {
            let [x, y] = folded(n.div_ceil(u64::from(variant.cover[0])), fold_above);
            [x, y, 1]
        }
        Grid::Matrix([columns, rows]) => {
            let [y, z] = folded(u64::from(rows.div_ceil(variant.cover[1])), fold_above);
            [u64::from(columns.div_ceil(variant.cover[0])), y, z]
        }
        Grid::Tiles(extent) => [0, 1, 2].map(|i| u64::from(extent[i].div_ceil(variant.cover[i]))),
    };
    if groups.iter().all(|&groups| groups <= u64::from(MAX_GROUPS)) {
        return Ok(groups.map(|groups| groups as u32));
    }
    Err(Error::Device {
        device: cx.info.name.clone(),
        doing: format!("dispatching {}", dispatch.kernel.label()),
        message: format!("{groups:?} groups exceed {MAX_GROUPS} in a dimension; use a smaller batch"),
    })
}

/// Returns the parts of a grid: the first line of each, and its groups. Lines of linear grids are in y, those of others in z; tiles are not
/// split.
pub fn parts(grid: &Grid, groups: [u32; 3], split_above: u32) -> Vec<(u32, [u32; 3])> {
    let axis = match grid {
        Grid::Linear(_) => 1,
        Grid::Matrix(_) => 2,
        Grid::Tiles(_) => return vec![(0, groups)],
    };
    let starts = (0..groups[axis]).step_by(split_above.max(1) as usize);
    let part = |first: u32| {
        let mut part = groups;
        part[axis] = split_above.min(groups[axis] - first);
        (first, part)
    };
    starts.map(part).collect()
}

/// Folds a number of groups: returns the length of a line, at most `above`, and the number of lines. The last line may extend past the end.
fn folded(groups: u64, above: u32) -> [u64; 2] {
    let lines = groups.div_ceil(u64::from(above)).max(1);
    [groups.div_ceil(lines), lines]
}
