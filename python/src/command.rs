//! The command `zooky`, in a process of Python's.

use std::ffi::OsString;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use zooky_cli::Invocation;

/// Runs the command as the whole of this process; its helper processes are started by `again`, which is a program and
/// what its arguments begin with. The exit code is the answer.
#[pyfunction]
pub(crate) fn command(py: Python<'_>, again: Vec<OsString>, arguments: Vec<OsString>) -> PyResult<u8> {
    let mut again = again.into_iter();
    let program = again.next().ok_or_else(|| PyValueError::new_err("no program to start helpers by"))?;
    // An interpreter that is linked to a library in an unusual place finds it by this.
    let invocation = Invocation::new(program, again).keeping("LD_LIBRARY_PATH");
    let arguments = std::iter::once(OsString::from("zooky")).chain(arguments);
    Ok(py.detach(|| zooky_cli::main_from(invocation, arguments)))
}
