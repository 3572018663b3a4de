//! One task of a twin: typed slices of what it reads, and its own share of what it writes.
//!
//! This is where the processor's engine hands out memory to threads, so the pointers live here. What makes it sound is checked when
//! a program is loaded (`Program::check`): a tensor that a dispatch writes appears in it once, and no two tasks' shares overlap.
#![allow(unsafe_code, reason = "disjoint tiles of one buffer go to several threads")]

use super::binding::{Access, Binding};
use super::interface::StepParams;
use crate::bits;
use bytemuck::Pod;
use std::marker::PhantomData;
use std::sync::atomic::AtomicU32;

/// A twin, whatever it has captured.
pub type TaskFn = dyn for<'a, 'b> Fn(&'a mut Task<'b>) + Sync;

/// A tensor bound to a dispatch, on the processor.
#[derive(Clone, Copy)]
pub(super) struct BoundBuffer {
    pub pointer: *mut u32,
    pub words: usize,
    pub access: Access,
    pub per_task: Option<usize>,
    pub panels: usize,
}

// SAFETY: the engine owns the buffers for as long as the dispatch runs, and tasks touch disjoint shares of what is written.
unsafe impl Send for BoundBuffer {}
// SAFETY: as above.
unsafe impl Sync for BoundBuffer {}

/// What one call of a twin gets.
pub struct Task<'a> {
    pub(super) index: usize,
    pub(super) bindings: &'static [Binding],
    pub(super) slots: &'a [BoundBuffer],
    pub(super) params: &'a [u32],
    pub(super) step: &'a StepParams,
    pub(super) taken: u32,
}

impl<'a> Task<'a> {
    /// Number of the task, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Which binding has this name; `None` where the kernel has no such binding.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.bindings.iter().position(|binding| binding.name == name)
    }

    /// The dispatch's parameters.
    pub fn params<P: Pod>(&self) -> &'a P {
        bytemuck::from_bytes(bytemuck::cast_slice(self.params))
    }

    /// The step's values.
    pub fn step(&self) -> &'a StepParams {
        self.step
    }

    /// Binding number `binding` (in the order of the interface), whole; the kernel only reads it.
    pub fn read<T: Pod>(&self, binding: usize) -> &'a [T] {
        let slot = self.slots[binding];
        assert_eq!(slot.access, Access::Read, "binding {binding} is not read-only");
        // SAFETY: the buffer outlives the dispatch, and a dispatch that reads a tensor does not write it (Program::check).
        bytemuck::cast_slice(unsafe { std::slice::from_raw_parts(slot.pointer, slot.words) })
    }

    /// Binding number `binding`, shared by all tasks.
    pub fn atomic(&self, binding: usize) -> &'a [AtomicU32] {
        let slot = self.slots[binding];
        assert_eq!(slot.access, Access::Atomic, "binding {binding} is not atomic");
        // SAFETY: AtomicU32 has the layout of u32, and every task sees this buffer as atomics.
        unsafe { std::slice::from_raw_parts(slot.pointer.cast(), slot.words) }
    }

    /// This task's share of binding number `binding`. Each can be taken once.
    pub fn write<T: Pod>(&mut self, binding: usize) -> &'a mut [T] {
        let panels = self.panels::<T>(binding);
        assert_eq!(panels.panels, 1, "binding {binding} is shared by panels");
        // SAFETY: the one share of this task, which owns it and takes it once.
        unsafe { std::slice::from_raw_parts_mut(panels.pointer.cast::<T>(), panels.length) }
    }

    /// This task's share of binding number `binding` in each panel. They can be taken once.
    pub fn panels<T: Pod>(&mut self, binding: usize) -> TaskPanels<'a, T> {
        const { assert!(size_of::<T>() == 4 && align_of::<T>() == 4) };
        let slot = self.slots[binding];
        assert_eq!(slot.access, Access::Write, "binding {binding} is not written");
        assert_eq!(self.taken & (1 << binding), 0, "binding {binding} was taken before");
        self.taken |= 1 << binding;
        let per_task = slot.per_task.expect("checked when the program was loaded");
        let (start, panel_words) = (self.index * per_task, slot.words / slot.panels);
        assert!(start < panel_words, "task {} of binding {binding} begins beyond the tensor", self.index);
        let length = per_task.min(panel_words - start);
        // SAFETY: start is inside the tensor.
        let pointer = unsafe { slot.pointer.add(start) };
        TaskPanels { pointer, panel_words, panels: slot.panels, length, of: PhantomData }
    }
}

/// A task's share of a tensor in panels: the same stretch of each.
pub struct TaskPanels<'a, T> {
    pointer: *mut u32,
    panel_words: usize,
    panels: usize,
    length: usize,
    of: PhantomData<&'a mut [T]>,
}

impl<T: Pod> TaskPanels<'_, T> {
    /// Panels of the tensor.
    pub fn panels(&self) -> usize {
        self.panels
    }

    /// Elements of a share.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The share in panel `panel`.
    pub fn panel(&mut self, panel: usize) -> &mut [T] {
        assert!(panel < self.panels, "panel {panel} of {}", self.panels);
        // SAFETY: every share is inside its panel, no other task has one that overlaps (Program::check), and self is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(panel * self.panel_words).cast::<T>(), self.length) }
    }
}

impl bits::Panels for TaskPanels<'_, f32> {
    fn panel(&mut self, at: usize) -> &mut [f32] {
        Self::panel(self, at)
    }
}
