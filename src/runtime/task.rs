//! One task of a twin: typed slices of the tensors that it reads, and its own range of those that it writes.
//!
//! Here the CPU engine hands out memory to threads through pointers. `Program::check` establishes soundness when a program is loaded: a
//! tensor that a dispatch writes is bound once, and the ranges of two tasks never overlap.
#![allow(unsafe_code, reason = "disjoint tiles of one buffer go to several threads")]

use super::binding::{Access, Binding};
use super::interface::StepParams;
use crate::bits;
use bytemuck::Pod;
use std::marker::PhantomData;
use std::sync::atomic::AtomicU32;

/// A twin: a function, or a closure with its captures.
pub type TaskFn = dyn for<'a, 'b> Fn(&'a mut Task<'b>) + Sync;

/// Function that computes a tile of a product: 32 rows of its output, in padded rows, selected by the task's index.
pub type TileFn = fn(task: &mut Task<'_>, tile: &mut [f32]);

/// A tensor bound to a dispatch, on the processor.
#[derive(Clone, Copy)]
pub(super) struct BoundBuffer {
    pub pointer: *mut u32,
    pub words: usize,
    pub access: Access,
    pub per_task: Option<usize>,
    pub panels: usize,
}

// SAFETY: the engine owns the buffers for as long as the dispatch runs, and tasks write disjoint ranges.
unsafe impl Send for BoundBuffer {}
// SAFETY: as above.
unsafe impl Sync for BoundBuffer {}

/// The argument of one call of a twin.
pub struct Task<'a> {
    pub(super) index: usize,
    pub(super) bindings: &'static [Binding],
    pub(super) slots: &'a [BoundBuffer],
    pub(super) params: &'a [u32],
    pub(super) epilogue: &'a [u32],
    pub(super) tile: Option<TileFn>,
    pub(super) step: &'a StepParams,
    pub(super) taken: u32,
}

impl<'a> Task<'a> {
    /// Returns the index of the task, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Returns the index of the binding of this name; `None` if the kernel has none.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.bindings.iter().position(|binding| binding.name == name)
    }

    /// Returns the dispatch's parameters.
    pub fn params<P: Pod>(&self) -> &'a P {
        bytemuck::from_bytes(bytemuck::cast_slice(self.params))
    }

    /// Returns the parameters of the epilogue.
    pub fn epilogue<P: Pod>(&self) -> &'a P {
        bytemuck::from_bytes(bytemuck::cast_slice(self.epilogue))
    }

    /// Returns the function that computes a tile of the product that the dispatch consumes; `None` if the product is in memory.
    pub fn tile(&self) -> Option<TileFn> {
        self.tile
    }

    /// Returns the step's values.
    pub fn step(&self) -> &'a StepParams {
        self.step
    }

    /// Returns the whole tensor of a read-only binding, by its index in the interface.
    ///
    /// # Panics
    /// Panics if the binding is not read-only.
    pub fn read<T: Pod>(&self, binding: usize) -> &'a [T] {
        let slot = self.slots[binding];
        assert_eq!(slot.access, Access::Read, "binding {binding} is not read-only");
        // SAFETY: the buffer outlives the dispatch, and a dispatch that reads a tensor does not write it (Program::check).
        bytemuck::cast_slice(unsafe { std::slice::from_raw_parts(slot.pointer, slot.words) })
    }

    /// Returns the whole tensor of a read-only binding, by its name.
    ///
    /// # Panics
    /// Panics if the kernel has no such binding, or if it is not read-only.
    pub fn named<T: Pod>(&self, name: &str) -> &'a [T] {
        self.read(self.position(name).unwrap_or_else(|| panic!("there is no binding `{name}`")))
    }

    /// Returns the tensor of an atomic binding, which all tasks share.
    ///
    /// # Panics
    /// Panics if the binding is not atomic.
    pub fn atomic(&self, binding: usize) -> &'a [AtomicU32] {
        let slot = self.slots[binding];
        assert_eq!(slot.access, Access::Atomic, "binding {binding} is not atomic");
        // SAFETY: AtomicU32 has the layout of u32, and every task sees this buffer as atomics.
        unsafe { std::slice::from_raw_parts(slot.pointer.cast(), slot.words) }
    }

    /// Returns this task's range of a binding that it writes. Each binding can be taken once.
    ///
    /// # Panics
    /// Panics if the kernel does not write the binding, if it is divided by panels, or if it was taken before.
    pub fn write<T: Pod>(&mut self, binding: usize) -> &'a mut [T] {
        let panels = self.panels::<T>(binding);
        assert_eq!(panels.panels, 1, "binding {binding} is divided by panels");
        // SAFETY: the range belongs to this task alone, which takes it once.
        unsafe { std::slice::from_raw_parts_mut(panels.pointer.cast::<T>(), panels.length) }
    }

    /// Returns this task's range of the binding `y`, the output that a producer stores, in each panel. It can be taken once.
    ///
    /// # Panics
    /// Panics if the kernel has no such binding.
    pub fn stored<T: Pod>(&mut self) -> TaskPanels<'a, T> {
        self.panels(self.position("y").expect("a producer that stores its output binds `y`"))
    }

    /// Returns this task's range of a binding in each of its panels. Each binding can be taken once.
    ///
    /// # Panics
    /// Panics if the kernel does not write the binding, or if it was taken before.
    pub fn panels<T: Pod>(&mut self, binding: usize) -> TaskPanels<'a, T> {
        const { assert!(size_of::<T>() == 4 && align_of::<T>() == 4) };
        let slot = self.slots[binding];
        assert_eq!(slot.access, Access::Write, "binding {binding} is not written");
        assert_eq!(self.taken & (1 << binding), 0, "binding {binding} was taken before");
        self.taken |= 1 << binding;
        let per_task = slot.per_task.expect("Program::check requires words per task of a binding that is written");
        let (start, panel_words) = (self.index * per_task, slot.words / slot.panels);
        assert!(start < panel_words, "task {} of binding {binding} begins beyond the tensor", self.index);
        let length = per_task.min(panel_words - start);
        // SAFETY: start is inside the tensor.
        let pointer = unsafe { slot.pointer.add(start) };
        TaskPanels { pointer, panel_words, panels: slot.panels, length, of: PhantomData }
    }
}

/// A task's part of a tensor in panels: the same range of each panel.
pub struct TaskPanels<'a, T> {
    pointer: *mut u32,
    panel_words: usize,
    panels: usize,
    length: usize,
    of: PhantomData<&'a mut [T]>,
}

impl<T: Pod> TaskPanels<'_, T> {
    /// Returns the number of panels of the tensor.
    pub fn panels(&self) -> usize {
        self.panels
    }

    /// Returns the number of elements of the range.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Returns the range in panel `panel`.
    pub fn panel(&mut self, panel: usize) -> &mut [T] {
        assert!(panel < self.panels, "panel {panel} of {}", self.panels);
        // SAFETY: every range is inside its panel, no other task has one that overlaps (Program::check), and self is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(panel * self.panel_words).cast::<T>(), self.length) }
    }
}

impl bits::Panels for TaskPanels<'_, f32> {
    fn panel(&mut self, at: usize) -> &mut [f32] {
        Self::panel(self, at)
    }
}
