{{/*
The name of everything in the release's namespace: "configmapsync" for a release of that name.
A release of another name has it in front, cut so that pods get whole names too.
*/}}
{{- define "configmapsync.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/*
The name of what belongs to no namespace. For a release "configmapsync" it is that name wherever
the release is: a second one is refused by Helm, as it should be. Other releases carry their
namespace, and a colon, which no namespace can contain.
*/}}
{{- define "configmapsync.clusterName" -}}
{{- if eq .Release.Name .Chart.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s:%s" .Release.Namespace (include "configmapsync.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "configmapsync.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "configmapsync.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/*
What finds the pods. A Deployment's selector can never change, so this has no version.
*/}}
{{- define "configmapsync.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/*
The labels of every object. "app.kubernetes.io/managed-by" is absent because Helm adds it on
install, and because the plain manifests, which are rendered from here, must not claim it.
*/}}
{{- define "configmapsync.labels" -}}
{{ include "configmapsync.selectorLabels" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "configmapsync.uninstallName" -}}
{{- printf "%s-uninstall" (include "configmapsync.fullname" . | trunc 53 | trimSuffix "-") -}}
{{- end -}}

{{/*
The labels of what is made to uninstall. Not the selector's: its pod is none of the operator's, and
waits for those to end.
*/}}
{{- define "configmapsync.uninstallLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-uninstall
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: uninstall
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{/*
Made before an uninstallation, and gone after one that succeeded. Takes the weight: what has less
is made earlier.
*/}}
{{- define "configmapsync.uninstallHook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "configmapsync.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/*
A generated file, as it is. One that is missing fails the render: a role without rules would
install and then be refused everything.
Takes a list: the root, the path below the chart.
*/}}
{{- define "configmapsync.generated" -}}
{{- $root := index . 0 -}}
{{- $path := index . 1 -}}
{{- $root.Files.Get $path | required (printf "%s is missing from the chart: generate it with `configmapsync manifests --write .`" $path) | trim -}}
{{- end -}}

{{/*
Not empty if ValidatingAdmissionPolicies can be installed. Without a cluster to ask, as in
"helm template", no kinds are known, only API versions: then they are taken to be served, as they
are by default in every version that the chart is for.
*/}}
{{- define "configmapsync.servesPolicies" -}}
{{- $served := .Capabilities.APIVersions -}}
{{- if or ($served.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy") (not ($served.Has "v1/ConfigMap")) -}}
true
{{- end -}}
{{- end -}}
