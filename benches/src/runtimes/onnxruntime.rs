//! onnxruntime through its C interface: the library of the Python package, opened at run time.
//!
//! One thread, all optimisations, and one tensor each for the input and the output, which lie over memory of ours: what a
//! C++ program that cares would write.

use std::error::Error;
use std::ffi::{CStr, CString, c_void};
use std::fmt;
use std::path::Path;
use std::ptr;

use libloading::Library;
use ort_sys::{
    GraphOptimizationLevel, ONNXTensorElementDataType, OrtAllocatorType, OrtApi, OrtApiBase, OrtEnv, OrtLoggingLevel,
    OrtMemType, OrtMemoryInfo, OrtSession, OrtSessionOptions, OrtStatusPtr, OrtValue,
};

use super::{Runtime, Stream, Subject};

/// The library, for as long as the program runs.
#[derive(Clone, Copy)]
pub struct Onnxruntime {
    api: &'static OrtApi,
    env: *mut OrtEnv,
    version: &'static str,
}

impl fmt::Debug for Onnxruntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "onnxruntime {}", self.version)
    }
}

/// What the library complains of.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Refused {}

impl Onnxruntime {
    /// Opens the library.
    pub fn open(path: &Path) -> Result<Self, Box<dyn Error>> {
        // SAFETY: the library is onnxruntime's own, whose constructors ask nothing of who loads it. It is never closed.
        let library = Box::leak(Box::new(unsafe { Library::new(path) }?));
        // SAFETY: this is the type that onnxruntime's header gives the function.
        let base = unsafe { library.get::<unsafe extern "system" fn() -> *const OrtApiBase>(b"OrtGetApiBase\0")? };
        // SAFETY: the function may be called at any time; what it returns lives as long as the library, which is for ever.
        let base = unsafe { &*base() };
        // SAFETY: any number may be asked for; the answer is null or a table of that version, which lives for ever.
        let api = unsafe { (base.GetApi)(API_VERSION).as_ref() };
        let api = api.ok_or("the library is older than its interface 17: take a newer one")?;
        // SAFETY: the version is a text that ends with a zero and lives for ever.
        let version = unsafe { CStr::from_ptr((base.GetVersionString)()) }.to_str()?;
        let mut env = ptr::null_mut();
        // SAFETY: the name ends with a zero, and `env` is where the new one is written.
        check(api, unsafe {
            (api.CreateEnv)(
                OrtLoggingLevel::ORT_LOGGING_LEVEL_ERROR,
                c"models".as_ptr(),
                &raw mut env,
            )
        })?;
        Ok(Self { api, env, version })
    }

    /// The version of the library.
    pub fn version(&self) -> &'static str {
        self.version
    }

    /// A session for one model.
    pub fn session(self, subject: &Subject, output_len: usize) -> Result<Session, Box<dyn Error>> {
        let api = self.api;
        let mut session = Session {
            api,
            session: ptr::null_mut(),
            input: vec![0.0; subject.shape.iter().product()].into_boxed_slice(),
            output: vec![0.0; output_len].into_boxed_slice(),
            input_value: ptr::null_mut(),
            output_value: ptr::null_mut(),
            input_name: CString::default(),
            output_name: CString::new(&*subject.output)?,
        };
        let mut options: *mut OrtSessionOptions = ptr::null_mut();
        let mut memory: *mut OrtMemoryInfo = ptr::null_mut();
        let onnx = &subject.onnx;
        // SAFETY: each call gets objects that the calls before it have made, and places of ours to write to. The model's
        // bytes are only read during the call.
        unsafe {
            check(api, (api.CreateSessionOptions)(&raw mut options))?;
            check(api, (api.SetIntraOpNumThreads)(options, 1))?;
            check(api, (api.SetInterOpNumThreads)(options, 1))?;
            let all = GraphOptimizationLevel::ORT_ENABLE_ALL;
            check(api, (api.SetSessionGraphOptimizationLevel)(options, all))?;
            let bytes = onnx.as_ptr().cast::<c_void>();
            let created = (api.CreateSessionFromArray)(self.env, bytes, onnx.len(), options, &raw mut session.session);
            (api.ReleaseSessionOptions)(options);
            check(api, created)?;
            let (kind, place) = (OrtAllocatorType::OrtDeviceAllocator, OrtMemType::OrtMemTypeDefault);
            check(api, (api.CreateCpuMemoryInfo)(kind, place, &raw mut memory))?;
        }
        session.input_name = session.first_input()?;
        let shape: Vec<i64> = subject.shape.iter().map(|len| *len as i64).collect();
        session.input_value = tensor(api, memory, &mut session.input, &shape)?;
        let out_shape = [1, output_len as i64];
        session.output_value = tensor(api, memory, &mut session.output, &out_shape)?;
        // SAFETY: it was made above and is not used any more; tensors keep a copy.
        unsafe { (api.ReleaseMemoryInfo)(memory) };
        session.run(subject.stream.window(0))?;
        Ok(session)
    }
}

/// A model that is loaded, with its tensors.
pub struct Session {
    api: &'static OrtApi,
    session: *mut OrtSession,
    /// The memory of `input_value`: moved nowhere while that lives.
    input: Box<[f32]>,
    output: Box<[f32]>,
    input_value: *mut OrtValue,
    output_value: *mut OrtValue,
    input_name: CString,
    output_name: CString,
}

impl Session {
    fn first_input(&self) -> Result<CString, Box<dyn Error>> {
        let (mut allocator, mut name) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the session is alive, the allocator is the library's own; the text ends with a zero and is given back to
        // the allocator that it came from once it is copied.
        unsafe {
            check(self.api, (self.api.GetAllocatorWithDefaultOptions)(&raw mut allocator))?;
            check(
                self.api,
                (self.api.SessionGetInputName)(self.session, 0, allocator, &raw mut name),
            )?;
            let owned = CStr::from_ptr(name).to_owned();
            check(self.api, (self.api.AllocatorFree)(allocator, name.cast()))?;
            Ok(owned)
        }
    }

    fn run(&mut self, window: &[f32]) -> Result<(), Box<dyn Error>> {
        self.input.copy_from_slice(window);
        let (inputs, input_names) = ([self.input_value.cast_const()], [self.input_name.as_ptr()]);
        let (mut outputs, output_names) = ([self.output_value], [self.output_name.as_ptr()]);
        // SAFETY: session, tensors and names are alive, and each list has one entry. The tensors lie over `input` and
        // `output`, which nobody else touches during the call.
        let status = unsafe {
            (self.api.Run)(
                self.session,
                ptr::null(),
                input_names.as_ptr(),
                inputs.as_ptr(),
                1,
                output_names.as_ptr(),
                1,
                outputs.as_mut_ptr(),
            )
        };
        check(self.api, status)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: each was made by the library or is null, which these functions take; none is used afterwards.
        unsafe {
            (self.api.ReleaseValue)(self.input_value);
            (self.api.ReleaseValue)(self.output_value);
            (self.api.ReleaseSession)(self.session);
        }
    }
}

impl Runtime for Session {
    fn answer(&mut self, stream: &Stream, newest: usize) -> &[f32] {
        self.run(stream.window(newest)).expect("it ran when it was made");
        &self.output
    }
}

/// A tensor over `values`.
fn tensor(
    api: &OrtApi,
    memory: *const OrtMemoryInfo,
    values: &mut [f32],
    shape: &[i64],
) -> Result<*mut OrtValue, Box<dyn Error>> {
    let mut value = ptr::null_mut();
    // SAFETY: the description of the memory is alive; the caller keeps `values` where they are while the tensor lives.
    check(api, unsafe {
        (api.CreateTensorWithDataAsOrtValue)(
            memory,
            values.as_mut_ptr().cast(),
            size_of_val(values),
            shape.as_ptr(),
            shape.len(),
            ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
            &raw mut value,
        )
    })?;
    Ok(value)
}

fn check(api: &OrtApi, status: OrtStatusPtr) -> Result<(), Box<dyn Error>> {
    let status = status.0;
    if status.is_null() {
        return Ok(());
    }
    // SAFETY: it is no null, so it is a status with a text that ends with a zero; it is released after the text is copied.
    let message = unsafe {
        let message = CStr::from_ptr((api.GetErrorMessage)(status))
            .to_string_lossy()
            .into_owned();
        (api.ReleaseStatus)(status);
        message
    };
    Err(Box::new(Refused(message)))
}

/// The first that has all that is used here.
const API_VERSION: u32 = 17;
