//! Decoding of `multipart/form-data` bodies (RFC 7578), which some of TOP's SDKs always send.

use std::convert::Infallible;

use futures_util::future::{self, FutureExt as _};
use futures_util::stream;
use multer::Multipart;
use multer::bytes::Bytes;

use crate::answer::TopError;
use crate::form::{Form, check_charset, utf8};

/// Decodes a body. A part with a file name is a file; any other part is a parameter.
///
/// # Errors
/// TOP 43 if the body is malformed or a part has no name. TOP 47 if a parameter or its declared charset is not UTF-8.
pub(crate) fn decode(content_type: &str, body: &[u8]) -> Result<Form, TopError> {
    let boundary = multer::parse_boundary(content_type).map_err(|error| malformed(&error))?;
    let whole = stream::once(future::ready(Ok::<_, Infallible>(Bytes::copy_from_slice(body))));
    // The body is already complete, so the parser never has to wait.
    read(Multipart::new(whole, boundary)).now_or_never().unwrap_or_else(|| Err(malformed(&"it ends too early")))
}

async fn read(mut parts: Multipart<'_>) -> Result<Form, TopError> {
    let mut form = Form::default();
    while let Some(part) = parts.next_field().await.map_err(|error| malformed(&error))? {
        let name = part.name().ok_or_else(|| malformed(&"a part has no name"))?.to_owned();
        if part.file_name().is_some() {
            form.files.insert(name);
            continue;
        }
        if let Some(media_type) = part.content_type() {
            check_charset(media_type.as_ref())?;
        }
        let value = part.bytes().await.map_err(|error| malformed(&error))?;
        form.insert(name, utf8(value.to_vec())?);
    }
    Ok(form)
}

fn malformed(why: &dyn std::fmt::Display) -> TopError {
    TopError::new(43, "Parameter error").because(format!("the multipart body is malformed: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=b";

    fn part(headers: &str, value: &str) -> String {
        format!("--b\r\n{headers}\r\n\r\n{value}\r\n")
    }

    fn params(form: &Form) -> Vec<(&str, &str)> {
        form.params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    #[test]
    fn parts_are_parameters_byte_for_byte() {
        let body = [
            part("Content-Disposition: form-data; name=\"a\"", "1 + 2&c=%20\r\n--c"),
            part("Content-Disposition: form-data; name=\"b\"\r\nContent-Type: text/plain; charset=UTF-8", "票"),
            part("content-disposition: form-data; name=c", ""),
            "--b--\r\nignored".to_owned(),
        ];
        let form = decode(TYPE, body.concat().as_bytes()).unwrap();
        assert_eq!(params(&form), [("a", "1 + 2&c=%20\r\n--c"), ("b", "票"), ("c", "")]);
        assert!(form.files.is_empty() && form.repeated.is_none());
    }

    #[test]
    fn part_with_a_file_name_is_a_file() {
        let file = part(
            "Content-Disposition: form-data; name=\"image\"; filename=\"a.png\"\r\nContent-Type: image/png",
            "\u{89}PNG",
        );
        let text = part("Content-Disposition: form-data; name=\"a\"", "1");
        let form = decode(TYPE, format!("{file}{text}--b--").as_bytes()).unwrap();
        assert_eq!(params(&form), [("a", "1")]);
        assert_eq!(form.files, ["image".to_owned()].into());
    }

    #[test]
    fn repeated_part_is_noted() {
        let text = part("Content-Disposition: form-data; name=\"a\"", "1");
        let form = decode(TYPE, format!("{text}{text}--b--").as_bytes()).unwrap();
        assert_eq!(form.repeated.as_deref(), Some("a"));
    }

    #[test]
    fn malformed_bodies_are_refused() {
        let text = part("Content-Disposition: form-data; name=\"a\"", "1");
        let nameless = part("Content-Disposition: form-data", "1");
        let latin1 =
            part("Content-Disposition: form-data; name=\"a\"\r\nContent-Type: text/plain; charset=latin1", "1");
        let end = |parts: &str| format!("{parts}--b--\r\n").into_bytes();
        let mut invalid_utf8 = text.clone().into_bytes();
        let value = invalid_utf8.len() - 3;
        invalid_utf8[value] = 0xff;
        invalid_utf8.extend(b"--b--\r\n");
        let rows: [(&str, Vec<u8>, i64); 8] = [
            ("multipart/form-data", end(&text), 43),
            ("multipart/form-data; boundary=other", end(&text), 43),
            (TYPE, text.clone().into_bytes(), 43),
            (TYPE, b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1".to_vec(), 43),
            (TYPE, b"a=1".to_vec(), 43),
            (TYPE, end(&nameless), 43),
            (TYPE, end(&latin1), 47),
            (TYPE, invalid_utf8, 47),
        ];
        for (content_type, body, code) in rows {
            let error = decode(content_type, &body).unwrap_err();
            assert_eq!(error.code, code, "{content_type} {:?}", String::from_utf8_lossy(&body));
        }
    }
}
