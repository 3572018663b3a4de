//! Geometry as parameters of kernels, and the grids of convolutions.

use crate::runtime::Grid;
use crate::runtime::interface::shared::conv::Params;
use crate::tensor::{Geometry, PANEL, words_of};

/// Returns the parameters of a convolution.
pub(in crate::ops) fn params(g: &Geometry) -> Params {
    Params {
        batch: g.batch,
        in_height: g.in_height,
        in_width: g.in_width,
        in_channels: g.in_channels,
        out_height: g.out_height,
        out_width: g.out_width,
        out_channels: g.out_channels,
        groups: g.groups,
        kernel_height: g.kernel_height,
        kernel_width: g.kernel_width,
        stride: g.stride,
        dilation: g.dilation,
        padding: g.padding,
        pad_one: u32::from(g.pad_one),
        words: g.words,
        integer: 0,
    }
}

/// Returns the geometry that a twin's parameters describe.
pub(in crate::ops) fn geometry_of(p: &Params) -> Geometry {
    Geometry {
        batch: p.batch,
        in_height: p.in_height,
        in_width: p.in_width,
        in_channels: p.in_channels,
        out_height: p.out_height,
        out_width: p.out_width,
        out_channels: p.out_channels,
        groups: p.groups,
        kernel_height: p.kernel_height,
        kernel_width: p.kernel_width,
        stride: p.stride,
        dilation: p.dilation,
        padding: p.padding,
        pad_one: p.pad_one != 0,
        words: p.words,
    }
}

/// Returns the grid of a matrix: columns, including those in the tail of the last panel, and rows.
pub(in crate::ops) fn matrix(columns: usize, rows: usize) -> Grid {
    Grid::Matrix([(words_of(columns) * PANEL) as u32, rows as u32])
}

/// Returns the grid of `times` such matrices, for rows within the limit of a dimension.
pub(in crate::ops) fn tiles(columns: usize, rows: usize, times: usize) -> Grid {
    Grid::Tiles([(words_of(columns) * PANEL) as u32, rows as u32, times as u32])
}
