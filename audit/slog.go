package audit

import (
	"context"
	"fmt"
	"log/slog"
)

// Slog returns a sink that hands every event to l's handler as one log record: the operation's name as message, at level Info, or Warn for an operation
// that was refused or failed; the identity, the parameters and the other parts of the event as groups. A logger that is not enabled for the level would
// drop the event in silence, so that Append then fails with [ErrUnavailable]; it passes on the handler's error, which Logger.Log would swallow.
// It panics if l is nil.
//
// A log is as durable and as safe from change as what stands behind the handler.
func Slog(l *slog.Logger) Sink {
	if l == nil {
		panic("audit: Slog of a nil logger")
	}
	h := l.Handler()
	return SinkFunc(func(ctx context.Context, e *Event) error {
		level := slog.LevelInfo
		if e.ErrorCode != "" {
			level = slog.LevelWarn
		}
		if !h.Enabled(ctx, level) {
			return fmt.Errorf("%w: the logger is not enabled for level %v", ErrUnavailable, level)
		}
		record := slog.NewRecord(e.Time, level, e.Name, 0)
		record.AddAttrs(logAttrs(e.Clone())...) // a handler may keep the record
		return h.Handle(ctx, record)
	})
}

// logAttrs returns e's parts under the names that they have in a CloudTrail record.
func logAttrs(e *Event) []slog.Attr {
	var arns []string
	for _, r := range e.Resources {
		arns = append(arns, r.ARN)
	}
	attrs := []slog.Attr{
		slog.String("eventID", e.ID()),
		slog.String("eventType", e.Type),
		slog.String("awsRegion", e.Region),
		slog.String("recipientAccountId", e.Account),
		slog.Bool("readOnly", e.ReadOnly),
		slog.Attr{Key: "userIdentity", Value: slog.GroupValue(present(
			slog.String("type", e.Identity.Type),
			slog.String("principalId", e.Identity.PrincipalID),
			slog.String("arn", e.Identity.ARN),
			slog.String("accountId", e.Identity.AccountID),
			slog.String("accessKeyId", e.Identity.AccessKeyID),
			slog.String("userName", e.Identity.UserName),
			slog.String("sessionRole", e.Identity.SessionRole),
			slog.String("invokedBy", e.Identity.InvokedBy),
		)...)},
		slog.Attr{Key: "requestParameters", Value: slog.GroupValue(e.Request...)},
		slog.Attr{Key: "additionalEventData", Value: slog.GroupValue(e.Additional...)},
		slog.Attr{Key: "serviceEventDetails", Value: slog.GroupValue(e.Details...)},
		slog.Any("resources", arns),
	}
	if e.Type != ServiceEvent {
		attrs = append(attrs, slog.String("requestID", e.RequestID()))
	}
	if e.ErrorCode == "" {
		attrs = append(attrs, slog.Attr{Key: "responseElements", Value: slog.GroupValue(e.Response...)})
	}
	return append(attrs, present(
		slog.String("sourceIPAddress", e.SourceIP),
		slog.String("userAgent", e.UserAgent),
		slog.String("tlsVersion", e.TLS.Version),
		slog.String("errorCode", e.ErrorCode),
		slog.String("errorMessage", e.ErrorMessage),
	)...)
}

// present returns the attributes whose string is not empty.
func present(attrs ...slog.Attr) []slog.Attr {
	var list []slog.Attr
	for _, a := range attrs {
		if a.Value.String() != "" {
			list = append(list, a)
		}
	}
	return list
}
